#pragma once

#include "address.hpp"
#include "errors.hpp"
#include "header_area.hpp"
#include "lib/outcome.hpp"
#include "lib/spinlock.hpp"

inline constexpr u64 HEAP_MAGIC_FREE = 0xDEADBEEFCAFEBABE;
inline constexpr u64 HEAP_MAGIC_USED = 0xFEEDFACEDEADC0DE;

namespace memory {

// The header of a block; its data follows (docs/spec.md 7.1). A debugger may find anything here,
// and so may the heap: it believes no header before is_valid() agrees.
struct alignas(16) heap_block {
    u64 size;    // of the data
    u8 is_free;  // 0 or 1
    heap_block* next;
    heap_block* prev;
    u64 magic;
    u64 padding;

    vaddr_t address() const { return vaddr_t{this}; }
    vaddr_t data() const { return address() + sizeof(heap_block); }
    vaddr_t end() const { return data() + size; }
    bool touches(const heap_block* other) const { return end() == other->address(); }
    bool next_is_free() const { return next != nullptr && next->is_free == 1 && touches(next); }

    // Whether what is behind the first `wanted` bytes of data makes a block: a header and 16 bytes.
    bool can_be_split(u64 wanted) const { return size - wanted >= sizeof(heap_block) + 16; }
};

// The kernel heap: first fit over one list of blocks (docs/spec.md 7). A free block that is
// too large is split, a block that is freed is joined with free neighbours.
class heap {
public:
    void* malloc(u64 size);
    void free(void* data);
    void* realloc(void* data, u64 size);
    void* calloc(u64 count, u64 size);
    void* aligned_alloc(u64 alignment, u64 size);

    // Whether every rule of docs/spec.md 7.9 holds.
    bool validate_heap();
    void print_statistics();

    // Bytes of data in used blocks.
    u64 total_allocated() const { return total_allocated_; }

    // How many operations were refused for this reason.
    u64 errors(error_kind kind) const { return errors_[static_cast<u32>(kind)]; }

private:
    struct layout;

    // What an allocation asks for: a size that is a multiple of 16, and where its data may begin.
    struct request {
        u64 size;
        u64 alignment;

        u64 gap(const heap_block* block) const;
        bool fits(const heap_block* block) const;
        u64 bytes_that_always_fit() const;
    };

    // Where a walk along the list ended.
    struct place {
        outcome walk;         // failed: `last` is the block that is not as it should be
        heap_block* fitting;  // null: none fits
        heap_block* last;
    };

    // heap.cpp: the operations, without the lock.
    void* allocate(u64 size, u64 alignment);
    void release(void* data);
    heap_block* find_used(const header_area& area, void* data);
    void shrink(heap_block* block, u64 size);

    // heap_blocks.cpp: blocks and their neighbours.
    header_area headers() const { return {heap_start_, heap_end_}; }
    static bool is_valid(const header_area& area, const heap_block* block);
    static bool is_followed_well(const header_area& area, const heap_block* block);
    static bool may_absorb_next(const header_area& area, const heap_block* block);
    bool is_linked(const header_area& area, const heap_block* block) const;
    bool is_reachable(const header_area& area, const heap_block* block) const;
    place find_fit(const request& wanted) const;
    heap_block* write_free(vaddr_t address, u64 size, heap_block* prev, heap_block* next);
    heap_block* split(heap_block* block, u64 size);
    void take(heap_block* block, u64 size);
    void absorb_next(heap_block* block);
    void absorb_free_next(heap_block* block);
    void count_as_free(u64 bytes);

    // heap_expand.cpp: more room at the list's end.
    heap_block* expand(u64 bytes, heap_block* last);
    static outcome map_region(vaddr_t base, u64 bytes);
    static void unmap_region(vaddr_t base, u64 bytes);

    void refuse(error_kind kind, u64 subject);

    u64 heap_start_ = 0;
    u64 heap_end_ = 0;
    u64 heap_size_ = 0;
    heap_block* first_block_ = nullptr;
    u64 total_allocated_ = 0;
    u64 total_free_ = 0;
    u64 num_allocations_ = 0;
    u64 num_frees_ = 0;
    u64 num_expansions_ = 0;
    u64 errors_[ERROR_KINDS] = {};
    lib::spinlock lock_;
};

// docs/spec.md 10.
static_assert(sizeof(heap_block) == 48);
static_assert(offsetof(heap_block, size) == 0);
static_assert(offsetof(heap_block, is_free) == 8);
static_assert(offsetof(heap_block, next) == 16);
static_assert(offsetof(heap_block, prev) == 24);
static_assert(offsetof(heap_block, magic) == 32);
static_assert(offsetof(heap_block, padding) == 40);

struct heap::layout {
    static_assert(sizeof(heap) == 120);
    static_assert(offsetof(heap, heap_start_) == 0);
    static_assert(offsetof(heap, heap_end_) == 8);
    static_assert(offsetof(heap, heap_size_) == 16);
    static_assert(offsetof(heap, first_block_) == 24);
    static_assert(offsetof(heap, total_allocated_) == 32);
    static_assert(offsetof(heap, total_free_) == 40);
    static_assert(offsetof(heap, num_allocations_) == 48);
    static_assert(offsetof(heap, num_frees_) == 56);
    static_assert(offsetof(heap, num_expansions_) == 64);
    static_assert(offsetof(heap, errors_) == 72);
    static_assert(offsetof(heap, lock_) == 112);
};

}  // namespace memory

extern memory::heap* g_kernel_heap;
