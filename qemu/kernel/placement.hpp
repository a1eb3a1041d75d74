#pragma once

#include "address.hpp"
#include "errors.hpp"

// The placement allocator: hands out the memory behind the image during boot and takes nothing
// back (docs/spec.md 3).

// The physical address of the next free byte.
extern u64 __placement;

// Zeroed memory, at a page boundary or at a multiple of 16; `phys`, unless null, receives its
// physical address. Null when there is no room, for size 0, and after boot.
void* placement_kalloc(u64 size, paddr_t* phys, bool align);

namespace memory {

// Starts at `_end`.
void open_placement();

// From now on placement_kalloc gives null.
void seal_placement();

// The first page boundary behind everything handed out (docs/spec.md 2.1).
paddr_t placement_end();

// How many bytes lie between the next free byte and the limit.
u64 placement_available();

// The errors of routing: what kfree refused (docs/spec.md 8.3).
extern u64 placement_errors_[ERROR_KINDS];

}  // namespace memory
