#pragma once

#include "address.hpp"

// The placement allocator: memory behind the image, handed out upwards and never taken back. It is
// never closed: the nodes of freed frames come from here for as long as the kernel runs.
namespace placement {

// The physical address of the next free byte.
extern u64 next_;

// Up to here, physical, memory is the placement allocator's; frames begin behind it.
inline constexpr paddr_t LIMIT{16 * 1024 * 1024};

void initialize();

// Zeroed memory at a multiple of `alignment`; null when there is none left.
void* allocate(u64 bytes, u64 alignment);

}  // namespace placement
