#include "heap.hpp"

namespace memory {

// How far behind the block's data this allocation's data would begin: nothing when the address is
// right already, else room for a free block in front of it (docs/spec.md 7.7). Behind the last
// aligned address the sum wraps; the gap is then larger than any block.
u64 heap::request::gap(const heap_block* block) const {
    const u64 data = block->data().value();
    if (lib::is_aligned(data, alignment)) {
        return 0;
    }
    return lib::up(data + sizeof(heap_block) + 16, alignment) - data;
}

bool heap::request::fits(const heap_block* block) const {
    const u64 skipped = gap(block);
    return skipped <= block->size && size <= block->size - skipped;
}

u64 heap::request::bytes_that_always_fit() const {
    return alignment <= alignof(heap_block) ? size : size + alignment + sizeof(heap_block) + 16;
}

// docs/spec.md 7.3.
bool heap::is_valid(const header_area& area, const heap_block* block) {
    if (!area.can_hold(block)) {
        return false;
    }
    const bool free = block->is_free == 1 && block->magic == HEAP_MAGIC_FREE;
    const bool used = block->is_free == 0 && block->magic == HEAP_MAGIC_USED;
    return (free || used) && lib::is_aligned(block->size, 16) && block->size >= 16 &&
           block->size <= area.end() - block->data().value();
}

// Whether the list goes on behind the block as it should (docs/spec.md 7.3a). Whoever writes into
// the next header asks first.
bool heap::is_followed_well(const header_area& area, const heap_block* block) {
    const heap_block* const next = block->next;
    return next == nullptr || (is_valid(area, next) && next->prev == block);
}

// Whether the next block is either left alone or can be absorbed: the block behind it learns of it.
bool heap::may_absorb_next(const header_area& area, const heap_block* block) {
    return !block->next_is_free() || is_followed_well(area, block->next);
}

// Whether both neighbours are valid and know the block as theirs (docs/spec.md 7.5).
bool heap::is_linked(const header_area& area, const heap_block* block) const {
    const heap_block* const prev = block->prev;
    const bool below = prev == nullptr
                           ? block == first_block_
                           : block != first_block_ && is_valid(area, prev) && prev->next == block;
    return below && is_followed_well(area, block);
}

// Whether the list leads to the block. No list has more blocks than smallest ones fit the heap,
// so that a cycle ends as well.
bool heap::is_reachable(const header_area& area, const heap_block* block) const {
    const heap_block* reached = first_block_;
    for (u64 left = heap_size_ / (sizeof(heap_block) + 16); left > 0; --left) {
        if (reached == block) {
            return true;
        }
        if (!area.can_hold(reached)) {
            return false;
        }
        reached = reached->next;
    }
    return false;
}

// The first block that fits and can be taken (docs/spec.md 7.3a, 7.4, 7.7). A list that comes back
// to a block would give it a second `prev`: the walk ends.
heap::place heap::find_fit(const request& wanted) const {
    const header_area area = headers();
    heap_block* before = nullptr;
    for (heap_block* block = first_block_; block != nullptr; block = block->next) {
        if (!is_valid(area, block) || block->prev != before) {
            return {outcome::failed, nullptr, block};
        }
        if (block->is_free == 1 && wanted.fits(block)) {
            return {is_followed_well(area, block) ? outcome::done : outcome::failed, block, block};
        }
        before = block;
    }
    return {outcome::done, nullptr, before};
}

// A free block between two others. Padding keeps what it held (docs/spec.md 7.1).
heap_block* heap::write_free(vaddr_t address, u64 size, heap_block* prev, heap_block* next) {
    heap_block* const block = address.as<heap_block>();
    block->size = size;
    block->is_free = 1;
    block->next = next;
    block->prev = prev;
    block->magic = HEAP_MAGIC_FREE;
    (prev == nullptr ? first_block_ : prev->next) = block;
    if (next != nullptr) {
        next->prev = block;
    }
    return block;
}

// Leaves `size` bytes of data to the block; what is behind them becomes a free block, counted as
// free before. Its header is nobody's data any more.
heap_block* heap::split(heap_block* block, u64 size) {
    const u64 rest = block->size - size - sizeof(heap_block);
    block->size = size;
    total_free_ -= sizeof(heap_block);
    return write_free(block->end(), rest, block, block->next);
}

// A free block becomes a used one of `size` bytes, or a little more (docs/spec.md 7.4).
void heap::take(heap_block* block, u64 size) {
    if (block->can_be_split(size)) {
        split(block, size);
    }
    block->is_free = 0;
    block->magic = HEAP_MAGIC_USED;
    total_free_ -= block->size;
    total_allocated_ += block->size;
}

// Both are counted as free. The absorbed header stays in memory as it was (docs/spec.md 7.5).
void heap::absorb_next(heap_block* block) {
    heap_block* const absorbed = block->next;
    block->size += sizeof(heap_block) + absorbed->size;
    total_free_ += sizeof(heap_block);
    block->next = absorbed->next;
    if (block->next != nullptr) {
        block->next->prev = block;
    }
}

void heap::absorb_free_next(heap_block* block) {
    if (block->next_is_free()) {
        absorb_next(block);
    }
}

void heap::count_as_free(u64 bytes) {
    total_allocated_ -= bytes;
    total_free_ += bytes;
}

}  // namespace memory
