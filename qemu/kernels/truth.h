#pragma once

#include "types.h"

// What a kernel knows of its own bug, for tests to compare with what a debugger finds. Addresses are
// virtual. `victim` is the damaged page or chunk, `culprit` the one whose owner did it; `address` and
// `length` are the bytes that were written, `before` and `after` their values, as many as fit.
struct truth {
    const char* bug;
    u64 victim;
    u64 culprit;
    u64 address;
    u64 length;
    u8 before[64];
    u8 after[64];
};

extern struct truth g_truth;

void truth_begin(const char* bug, const void* victim, const void* culprit);
void truth_bytes(const void* address, u64 length);  // before the bug strikes
void truth_end(void);                               // when it has struck
