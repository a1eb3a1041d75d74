#pragma once

#include "exceptions.hpp"

// The border between ring 3 and the kernel (docs/spec.md 13, 15.1).
namespace user_mode {

// Stands in a frame for the number of an exception when a process made a system call.
inline constexpr u64 SYSTEM_CALL = 256;

// Opens the border for this CPU: system calls, and no kernel access to user pages where the CPU
// can forbid it.
void initialize();

// A context as it is before the first instruction: all registers 0.
void prepare(exceptions::frame& context);

// Goes on with the process in the active address space until it traps: by a system call or an
// exception, the context says which.
void run(exceptions::frame& context);

}  // namespace user_mode
