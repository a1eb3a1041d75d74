#pragma once

#include "types.h"

void* memset(void* to, int byte, u64 count);
void* memcpy(void* restrict to, const void* restrict from, u64 count);
u64 length_of(const char* text);
int is_equal(const char* one, const char* other);

// xorshift64: the same sequence for the same seed, which must not be 0.
u64 next_random(u64* state);
