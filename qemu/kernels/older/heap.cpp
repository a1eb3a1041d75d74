#include "heap.hpp"

#include "paging.hpp"
#include "physical.hpp"
#include "virt.hpp"

constinit memory::heap* g_kernel_heap = nullptr;

namespace memory {

namespace {

// By reference, as the kernel's library had it: at -O0 a constant that is passed needs a place.
const u64& larger(const u64& left, const u64& right) { return left < right ? right : left; }

// Pages for a region, mapped; 0 when anything is missing.
u64 region(u64 bytes) {
    const u64 start = g_kernel_virtual_manager->alloc(bytes);
    for (u64 offset = 0; start != 0 && offset < bytes; offset += PAGE_SIZE) {
        const u64 frame = g_physical_manager->alloc();
        if (frame == 0 || !paging::map(vaddr_t{start + offset}, frame, paging::rights::kernel)) {
            return 0;
        }
    }
    return start;
}

heap_block* block_at(u64 start, u64 bytes, heap_block* before) {
    auto* const block = reinterpret_cast<heap_block*>(start);
    block->size = bytes - sizeof(heap_block);
    block->is_free = true;
    block->next = nullptr;
    block->prev = before;
    block->magic = heap_block::free_magic;
    return block;
}

}  // namespace

bool heap::initialize(u64 bytes) {
    const u64 start = region(bytes);
    if (start == 0) {
        return false;
    }
    heap_start_ = start;
    heap_end_ = start + bytes;
    heap_size_ = bytes;
    first_block_ = block_at(start, bytes, nullptr);
    total_free_ = first_block_->size;
    return true;
}

void* heap::malloc(u64 bytes) {
    const u64 wanted = larger(lib::up(bytes, alignment), minimum_size);
    if (bytes == 0 || wanted > expansion_size - sizeof(heap_block)) {
        return nullptr;
    }
    heap_block* block = find(wanted);
    if (block == nullptr) {
        if (!expand()) {
            return nullptr;
        }
        block = find(wanted);
    }
    split(block, wanted);
    block->is_free = false;
    block->magic = heap_block::used_magic;
    total_allocated_ += block->size;
    total_free_ -= block->size;
    ++num_allocations_;
    return block->data();
}

void heap::free(void* data) {
    heap_block* const block = heap_block::of(data);
    if (data == nullptr || block->magic != heap_block::used_magic) {
        return;
    }
    block->is_free = true;
    block->magic = heap_block::free_magic;
    total_allocated_ -= block->size;
    total_free_ += block->size;
    ++num_frees_;
    merge_next(block);
    if (block->prev != nullptr && block->prev->is_free) {
        merge_next(block->prev);
    }
}

void* heap::realloc(void* data, u64 bytes) {
    void* const moved = malloc(bytes);
    if (moved == nullptr) {
        return nullptr;
    }
    const heap_block* const old = heap_block::of(data);
    for (u64 index = 0; index < old->size && index < bytes; ++index) {
        static_cast<u8*>(moved)[index] = static_cast<const u8*>(data)[index];
    }
    free(data);
    return moved;
}

older::truth heap::shrink(void* data, u64 bytes) {
    heap_block* const block = heap_block::of(data);
    const u64 before = block->size;
    split(block, bytes);
    total_allocated_ -= before - block->size;
    // total_free_ grows as well: forgotten.
    merge_next(block->next);
    return {older::damage::statistics, 0, reinterpret_cast<u64>(this), 0, 0,
            reinterpret_cast<u64>(&total_free_), sizeof total_free_, total_free_,
            total_free_ + before - block->size};
}

heap_block* heap::find(u64 bytes) const {
    for (heap_block* block = first_block_; block != nullptr; block = block->next) {
        if (block->is_free && block->size >= bytes) {
            return block;
        }
    }
    return nullptr;
}

heap_block* heap::last() const {
    heap_block* block = first_block_;
    while (block->next != nullptr) {
        block = block->next;
    }
    return block;
}

// The header of the rest is not taken off total_free_.
void heap::split(heap_block* block, u64 bytes) {
    if (block->size < bytes + sizeof(heap_block) + minimum_size) {
        return;
    }
    auto* const rest = reinterpret_cast<heap_block*>(block->data() + bytes);
    rest->size = block->size - bytes - sizeof(heap_block);
    rest->is_free = true;
    rest->magic = heap_block::free_magic;
    rest->prev = block;
    rest->next = block->next;
    if (rest->next != nullptr) {
        rest->next->prev = rest;
    }
    block->next = rest;
    block->size = bytes;
    ++g_tally.splits;
}

// The header that becomes data is not added to total_free_.
void heap::merge_next(heap_block* block) {
    heap_block* const after = block->next;
    if (after == nullptr || !after->is_free || block->end() != reinterpret_cast<u64>(after)) {
        return;
    }
    block->size += sizeof(heap_block) + after->size;
    block->next = after->next;
    if (block->next != nullptr) {
        block->next->prev = block;
    }
    ++g_tally.merges;
}

// heap_end_ stays where it was.
bool heap::expand() {
    const u64 start = region(expansion_size);
    if (start == 0) {
        return false;
    }
    heap_block* const before = last();
    heap_block* const block = block_at(start, expansion_size, before);
    before->next = block;
    heap_size_ += expansion_size;
    ++g_tally.expansions;
    total_free_ += block->size;
    if (before->is_free) {
        merge_next(before);
    }
    return true;
}

}  // namespace memory
