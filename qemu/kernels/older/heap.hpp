#pragma once

#include "address.hpp"
#include "truth.hpp"

namespace memory {

struct heap_block {
    static constexpr u32 free_magic = 0xDEADBEEF;
    static constexpr u32 used_magic = 0xCAFEBABE;

    u64 size;  // bytes of data
    bool is_free;
    heap_block* next;
    heap_block* prev;
    u32 magic;

    u8* data() { return reinterpret_cast<u8*>(this + 1); }
    u64 end() { return reinterpret_cast<u64>(data()) + size; }
    static heap_block* of(void* data) { return static_cast<heap_block*>(data) - 1; }
};

static_assert(sizeof(heap_block) == 40);

// The kernel's heap: regions of pages, first fit, blocks in one list. Its statistics have two
// faults that this kernel lived with: an expansion does not move heap_end_, and a split or a merge
// forgets the header that comes or goes, so that total_free_ is wrong by it.
class heap {
public:
    static constexpr u64 alignment = 8;
    static constexpr u64 minimum_size = 16;
    static constexpr u64 expansion_size = 64 * 1024;

    // One region of `bytes`; false when there is no memory for it.
    bool initialize(u64 bytes);

    void* malloc(u64 bytes);
    void free(void* data);
    void* realloc(void* data, u64 bytes);

    // Makes a block smaller where it lies; what is left over becomes free. Notes what total_free_
    // would be without its own fault.
    older::truth shrink(void* data, u64 bytes);

    heap_block* first_block() const { return first_block_; }

private:
    heap_block* find(u64 bytes) const;
    heap_block* last() const;
    void split(heap_block* block, u64 bytes);
    void merge_next(heap_block* block);
    bool expand();

    u64 heap_start_ = 0;
    u64 heap_end_ = 0;
    u64 heap_size_ = 0;
    heap_block* first_block_ = nullptr;
    u64 total_allocated_ = 0;
    u64 total_free_ = 0;
    u64 num_allocations_ = 0;
    u64 num_frees_ = 0;
};

}  // namespace memory

// Null until the kernel has a heap.
extern memory::heap* g_kernel_heap;
