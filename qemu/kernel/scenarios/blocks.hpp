#pragma once

#include "heap.hpp"
#include "scenarios/seeded_fault.hpp"

// What buggy scenarios ask about the blocks they damage.
namespace coronel {

memory::heap_block* header_of(const void* data);

// Notes that the owner of `culprit` damages `length` bytes from `address` on, which belong to
// `victim`, and what they hold before.
void announce_damage(const bug& which, const void* culprit, const memory::heap_block* victim,
                     vaddr_t address, u64 length);

// Used blocks of `size` bytes each, every one but the last touching the next: how many there are,
// less than `wanted` when the heap is full.
u64 allocate_row(u64 size, void** row, u64 wanted);

template <u64 count>
bool allocate_row(u64 size, void* (&row)[count]) {
    return allocate_row(size, row, count) == count;
}

}  // namespace coronel
