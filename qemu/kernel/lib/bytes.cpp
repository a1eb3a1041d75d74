#include "lib/bytes.hpp"

#include "lib/align.hpp"

namespace {

constexpr u64 WORD = sizeof(u64);

bool both_aligned(const void* to, const void* from) {
    return lib::is_aligned(reinterpret_cast<u64>(to) | reinterpret_cast<u64>(from), WORD);
}

}  // namespace

// Words where the addresses allow it, bytes for the rest. The Makefile keeps the compiler from
// recognising these loops as what they are and calling the function from within itself.

void* memcpy(void* to, const void* from, size_t bytes) {
    u64 done = 0;
    if (both_aligned(to, from)) {
        for (; bytes - done >= WORD; done += WORD) {
            *reinterpret_cast<u64*>(static_cast<u8*>(to) + done) =
                *reinterpret_cast<const u64*>(static_cast<const u8*>(from) + done);
        }
    }
    for (; done < bytes; ++done) {
        static_cast<u8*>(to)[done] = static_cast<const u8*>(from)[done];
    }
    return to;
}

void* memmove(void* to, const void* from, size_t bytes) {
    if (to <= from) {
        return memcpy(to, from, bytes);
    }
    for (u64 left = bytes; left > 0; --left) {
        static_cast<u8*>(to)[left - 1] = static_cast<const u8*>(from)[left - 1];
    }
    return to;
}

void* memset(void* to, int value, size_t bytes) {
    const u8 byte = static_cast<u8>(value);
    const u64 word = byte * 0x0101010101010101;
    u64 done = 0;
    if (both_aligned(to, to)) {
        for (; bytes - done >= WORD; done += WORD) {
            *reinterpret_cast<u64*>(static_cast<u8*>(to) + done) = word;
        }
    }
    for (; done < bytes; ++done) {
        static_cast<u8*>(to)[done] = byte;
    }
    return to;
}

int memcmp(const void* left, const void* right, size_t bytes) {
    for (u64 index = 0; index < bytes; ++index) {
        const int difference =
            static_cast<const u8*>(left)[index] - static_cast<const u8*>(right)[index];
        if (difference != 0) {
            return difference;
        }
    }
    return 0;
}
