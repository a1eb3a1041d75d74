#include "heap.hpp"

#include "lib/bytes.hpp"
#include "serial.hpp"
#include "trace.hpp"

using coronel::operation;
using coronel::traced_operation;

constinit memory::heap* g_kernel_heap = nullptr;

namespace memory {

namespace {

// Data sizes and addresses are multiples of it (docs/spec.md 7.1).
constexpr u64 GRAIN = 16;

// Larger requests are out of memory whatever the machine has (docs/spec.md 7.4).
constexpr u64 MAX_SIZE = u64{1} << 40;

// The size of a block for `size` bytes, which is not 0; 0 when there is none so large.
u64 block_size(u64 size) {
    const u64 rounded = lib::up(size, GRAIN);
    return rounded > MAX_SIZE ? 0 : rounded;
}

// Neighbours in the list touch, and are then not both free, or lie in two regions (docs/spec.md
// 7.2, 7.9).
bool may_follow(const heap_block* before, const heap_block* block) {
    if (before->touches(block)) {
        return before->is_free != 1 || block->is_free != 1;
    }
    return before->end().is_page_aligned() && block->address().is_page_aligned();
}

}  // namespace

void* heap::malloc(u64 size) {
    lib::spinlock_guard guard{lock_};
    traced_operation traced{operation::heap_malloc, size};
    return traced.result(allocate(size, GRAIN));
}

void heap::free(void* data) {
    lib::spinlock_guard guard{lock_};
    traced_operation traced{operation::heap_free, data};
    release(data);
}

void* heap::realloc(void* data, u64 size) {
    lib::spinlock_guard guard{lock_};
    traced_operation traced{operation::heap_realloc, data, size};

    // Check.
    if (data == nullptr) {
        return traced.result(allocate(size, GRAIN));
    }
    if (size == 0) {
        release(data);
        return nullptr;
    }
    const header_area area = headers();
    heap_block* const block = find_used(area, data);
    if (block == nullptr) {
        return nullptr;
    }
    const u64 rounded = block_size(size);
    if (rounded == 0) {
        refuse(error_kind::out_of_memory, size);
        return nullptr;
    }
    const bool shrinks = rounded <= block->size && block->can_be_split(rounded);
    const bool is_larger = rounded > block->size;
    const bool grows = is_larger && block->next_is_free() &&
                       block->size + sizeof(heap_block) + block->next->size >= rounded;
    // Also when the data moves: what release() would refuse then is refused before anything is done.
    if ((shrinks || is_larger) && !may_absorb_next(area, block)) {
        refuse(error_kind::corruption_detected, vaddr_t{data}.value());
        return nullptr;
    }

    // Commit: in place.
    if (!is_larger) {
        if (shrinks) {
            shrink(block, rounded);
        }
        return traced.result(data);
    }
    if (grows) {
        count_as_free(block->size);
        absorb_next(block);
        take(block, rounded);
        return traced.result(data);
    }

    // Commit: elsewhere. In a damaged heap the new block can lie over the old one.
    const u64 before = block->size;
    void* const moved = allocate(size, GRAIN);
    if (moved != nullptr) {
        memmove(moved, data, before);
        release(data);
    }
    return traced.result(moved);
}

void* heap::calloc(u64 count, u64 size) {
    lib::spinlock_guard guard{lock_};
    traced_operation traced{operation::heap_calloc, count, size};

    // Check.
    u64 bytes;
    if (__builtin_mul_overflow(count, size, &bytes)) {
        refuse(error_kind::out_of_memory, size);
        return nullptr;
    }

    // Commit.
    void* const data = allocate(bytes, GRAIN);
    return data == nullptr ? nullptr : memset(data, 0, block_size(bytes));
}

void* heap::aligned_alloc(u64 alignment, u64 size) {
    lib::spinlock_guard guard{lock_};
    traced_operation traced{operation::heap_aligned_alloc, alignment, size};

    // Check.
    if (!lib::is_power_of_two(alignment)) {
        refuse(error_kind::invalid_pointer, alignment);
        return nullptr;
    }

    // Commit.
    return traced.result(allocate(size, alignment <= GRAIN ? GRAIN : alignment));
}

// docs/spec.md 7.4; for alignments above 16, 7.7.
void* heap::allocate(u64 size, u64 alignment) {
    // Check.
    if (size == 0) {
        return nullptr;
    }
    const request wanted{block_size(size), alignment};
    if (wanted.size == 0) {
        refuse(error_kind::out_of_memory, size);
        return nullptr;
    }

    // Find.
    const place found = find_fit(wanted);
    if (found.walk == outcome::failed) {
        refuse(error_kind::corruption_detected, vaddr_t{found.last}.value());
        return nullptr;
    }
    heap_block* block = found.fitting;
    if (block == nullptr) {
        block = expand(wanted.bytes_that_always_fit(), found.last);
    }
    if (block == nullptr) {
        return nullptr;
    }

    // Split.
    const u64 gap = wanted.gap(block);
    if (gap != 0) {
        block = split(block, gap - sizeof(heap_block));
    }

    // Commit.
    take(block, wanted.size);
    ++num_allocations_;
    return block->data().as<void>();
}

// docs/spec.md 7.5.
void heap::release(void* data) {
    // Check and find.
    if (data == nullptr) {
        return;
    }
    const header_area area = headers();
    heap_block* const block = find_used(area, data);
    if (block == nullptr) {
        return;
    }
    if (!may_absorb_next(area, block)) {
        return refuse(error_kind::corruption_detected, vaddr_t{data}.value());
    }

    // Commit.
    block->is_free = 1;
    block->magic = HEAP_MAGIC_FREE;
    count_as_free(block->size);
    ++num_frees_;
    absorb_free_next(block);
    if (block->prev != nullptr && block->prev->is_free == 1) {
        absorb_free_next(block->prev);
    }
}

// The used block that `data` belongs to; null when there is none or it must not be touched, which
// is reported (docs/spec.md 7.5).
heap_block* heap::find_used(const header_area& area, void* data) {
    const vaddr_t address{data};
    heap_block* const block = (address - sizeof(heap_block)).as<heap_block>();
    if (!area.can_hold(block)) {
        refuse(error_kind::invalid_pointer, address.value());
    } else if (block->magic == HEAP_MAGIC_FREE) {
        refuse(error_kind::double_free, address.value());
    } else if (block->magic != HEAP_MAGIC_USED) {
        refuse(is_reachable(area, block) ? error_kind::corruption_detected
                                         : error_kind::invalid_pointer,
               address.value());
    } else if (!is_valid(area, block) || !is_linked(area, block)) {
        refuse(error_kind::corruption_detected, address.value());
    } else {
        return block;
    }
    return nullptr;
}

// The rest of a used block, large enough for one, becomes a free block (docs/spec.md 7.6).
void heap::shrink(heap_block* block, u64 size) {
    count_as_free(block->size - size);
    absorb_free_next(split(block, size));
}

bool heap::validate_heap() {
    lib::spinlock_guard guard{lock_};
    const header_area area = headers();
    u64 used = 0;
    u64 free = 0;
    const heap_block* before = nullptr;
    // A list that comes back to a block would give it a second `prev`: the walk ends.
    for (const heap_block* block = first_block_; block != nullptr; block = block->next) {
        if (!is_valid(area, block) || block->prev != before) {
            return false;
        }
        if (before != nullptr && !may_follow(before, block)) {
            return false;
        }
        (block->is_free == 1 ? free : used) += block->size;
        before = block;
    }
    return used == total_allocated_ && free == total_free_;
}

void heap::print_statistics() {
    lib::spinlock_guard guard{lock_};
    serial::line("heap: ", heap_size_, " bytes, ", total_allocated_, " allocated, ", total_free_,
                 " free, ", num_allocations_, " allocations, ", num_frees_, " frees, ",
                 num_expansions_, " expansions");
}

void heap::refuse(error_kind kind, u64 subject) { report(errors_, "heap", kind, subject); }

}  // namespace memory
