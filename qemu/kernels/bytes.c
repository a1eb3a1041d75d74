#include "bytes.h"

void* memset(void* to, int byte, u64 count) {
    u8* const bytes = to;
    const u64 words = (u64)to % sizeof(u64) == 0 ? count / sizeof(u64) : 0;
    for (u64 at = 0; at < words; ++at) {  // pages: eight bytes at a time
        ((u64*)to)[at] = (u8)byte * 0x0101010101010101UL;
    }
    for (u64 at = words * sizeof(u64); at < count; ++at) {
        bytes[at] = (u8)byte;
    }
    return to;
}

void* memcpy(void* restrict to, const void* restrict from, u64 count) {
    u8* const target = to;
    const u8* const source = from;
    for (u64 at = 0; at < count; ++at) {
        target[at] = source[at];
    }
    return to;
}

u64 length_of(const char* text) {
    u64 length = 0;
    while (text[length] != 0) {
        ++length;
    }
    return length;
}

int is_equal(const char* one, const char* other) {
    while (*one != 0 && *one == *other) {
        ++one;
        ++other;
    }
    return *one == *other;
}

u64 next_random(u64* state) {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}
