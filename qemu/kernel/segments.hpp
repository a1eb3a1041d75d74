#pragma once

#include "address.hpp"

// The descriptor tables of the boot CPU: what is left of segmentation in long mode (SDM vol. 3A,
// chapters 3, 6 and 7).
namespace segments {

inline constexpr u64 EXCEPTIONS = 32;

// Loads GDT, task register and IDT. From now on exception n goes to `vectors[n]`, on a stack of
// its own: it must be reported even when the kernel stack is what went wrong.
void initialize(const u64 (&vectors)[EXCEPTIONS]);

}  // namespace segments
