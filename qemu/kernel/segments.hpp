#pragma once

#include "address.hpp"

// The descriptor tables of each CPU: what is left of segmentation in long mode (SDM vol. 3A,
// chapters 3, 6 and 7).
namespace segments {

inline constexpr u64 EXCEPTIONS = 32;

// Selectors. In the order that `syscall` wants: the kernel's stack behind its code.
inline constexpr u16 KERNEL_CODE = 0x08;  // as in boot.S, which loaded it
inline constexpr u16 KERNEL_DATA = 0x10;
inline constexpr u16 USER_DATA = 0x18 | 3;
inline constexpr u16 USER_CODE = 0x20 | 3;

// Loads GDT, task register and IDT of the CPU that asks, whose number is `cpu` from then on.
// Exception n goes to `vectors[n]`: in ring 0 on the stack in use, but a double fault on one of its
// own, so that it is reported even when the kernel stack is what went wrong (docs/spec.md 13.2).
void initialize(const u64 (&vectors)[EXCEPTIONS], u64 cpu);

// Where an exception of ring 3 goes on writing from, downwards.
void set_trap_stack(vaddr_t top);

// Whether [start, start + size) lies on the stack for double faults.
bool is_fault_stack(vaddr_t start, u64 size);

}  // namespace segments
