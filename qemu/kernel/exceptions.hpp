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

// From now on every exception is reported and stops the kernel (docs/spec.md 1.5).
void initialize();

}  // namespace exceptions
