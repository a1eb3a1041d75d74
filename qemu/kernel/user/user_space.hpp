#pragma once

#include "address.hpp"

// The address space of a process (docs/spec.md 14.4).
//
//   0x00000000                    null guard                         never mapped
//   0x00400000  USER_START        code and data                      R X, R W
//   0x08000000  USER_HEAP_START   heap                               R W
//   0x40000000  USER_MMAP_START   mmap                               R W or R
//   0x70000000  USER_MMAP_END     reserved, and a guard page         never mapped
//   0x7f800000  USER_STACK_LIMIT  stack, grows down to here          R W
//   0x80000000  USER_END

inline constexpr vaddr_t USER_START{0x400000};
inline constexpr vaddr_t USER_IMAGE_END{0x8000000};
inline constexpr vaddr_t USER_HEAP_START = USER_IMAGE_END;
inline constexpr vaddr_t USER_HEAP_END{0x40000000};
inline constexpr vaddr_t USER_MMAP_START = USER_HEAP_END;
inline constexpr vaddr_t USER_MMAP_END{0x70000000};
inline constexpr vaddr_t USER_STACK_LIMIT{0x7f800000};
inline constexpr vaddr_t USER_END{0x80000000};

// What a stack has from the beginning (docs/spec.md 14.3).
inline constexpr u64 USER_STACK_AT_START = 64 * 1024;

// Whether [start, start + size) lies inside [low, high). Nothing wraps.
constexpr bool lies_inside(vaddr_t start, u64 size, vaddr_t low, vaddr_t high) {
    return low <= start && start <= high && size <= high - start;
}
