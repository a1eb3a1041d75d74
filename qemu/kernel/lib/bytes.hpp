#pragma once

#include "lib/integers.hpp"

// The four functions the compiler may call on its own in a freestanding program.
extern "C" {
void* memcpy(void* to, const void* from, size_t bytes);
void* memmove(void* to, const void* from, size_t bytes);
void* memset(void* to, int value, size_t bytes);
int memcmp(const void* left, const void* right, size_t bytes);
}
