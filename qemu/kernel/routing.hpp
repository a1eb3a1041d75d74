#pragma once

#include "lib/integers.hpp"

// The way every part of the kernel gets memory: during early boot from the placement allocator,
// later from the heap (docs/spec.md 8.3).
namespace memory {

void* kalloc(u64 size);
void kfree(void* pointer);

}  // namespace memory
