#pragma once

#include "address.hpp"

namespace memory {

// The header of a block for ring 3. The flags say twice whether it is free: bit 0, and a tag in the
// top byte.
struct user_block {
    static constexpr u32 free_bit = 1;
    static const u32 free_tag;  // in .rodata, and nowhere else
    static const u32 used_tag;

    u32 size;  // bytes of data
    u32 flags;
    user_block* next;
    user_block* prev;

    u8* data() { return reinterpret_cast<u8*>(this + 1); }
    bool is_free() const { return (flags & free_bit) != 0; }
    static user_block* of(void* data) { return static_cast<user_block*>(data) - 1; }
};

static_assert(sizeof(user_block) == 24);

// A heap in the lower half that grows upwards, one region of blocks.
class user_heap {
public:
    static constexpr u64 alignment = 8;
    static constexpr u64 minimum_size = 8;

    void initialize(u64 start, u64 limit);

    void* malloc(u64 bytes);
    void free(void* data);

    user_block* first_block() const { return first_block_; }

private:
    void split(user_block* block, u32 bytes);
    void merge_next(user_block* block);
    user_block* grow(u64 bytes, user_block* last);

    u64 heap_start_ = 0;
    u64 heap_current_ = 0;
    u64 heap_limit_ = 0;
    user_block* first_block_ = nullptr;
    u64 total_allocated_ = 0;
    u64 num_blocks_ = 0;
};

}  // namespace memory

extern memory::user_heap* g_user_heap;
