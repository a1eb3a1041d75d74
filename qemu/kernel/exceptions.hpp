#pragma once

#include "lib/integers.hpp"

namespace exceptions {

// What vectors.S leaves on the stack: the registers as they were, then what the CPU pushed.
struct frame {
    u64 r15, r14, r13, r12, r11, r10, r9, r8;
    u64 rbp, rdi, rsi, rdx, rcx, rbx, rax;
    u64 vector;
    u64 error;
    u64 rip, cs, rflags, rsp, ss;
};

static_assert(sizeof(frame) == 22 * 8);

// From now on every exception of ring 0 is reported and stops the kernel; one of ring 3 ends
// user_mode::run (docs/spec.md 13.2, 14.5).
void initialize(u64 cpu);

}  // namespace exceptions
