#pragma once

#include "errors.hpp"
#include "lib/spinlock.hpp"
#include "user/user_block.hpp"
#include "user/user_memory.hpp"

namespace memory {

// The heap of one process, kept in that process's own memory, where the process can overwrite it
// (docs/spec.md 15.3). The rules are the kernel heap's, the circumstances are not: headers are
// copied in and out, and an operation looks at every one it will change before it changes any.
class user_allocator {
public:
    // The heap of the space of this directory: nothing is mapped yet.
    void setup(paddr_t directory);

    // Data, or null.
    vaddr_t malloc(u64 size);
    vaddr_t realloc(vaddr_t data, u64 size);
    vaddr_t calloc(u64 count, u64 size);

    outcome free(vaddr_t data);

    // Moves the heap's end while there is no block; gives the end (docs/spec.md 15.4).
    vaddr_t brk(vaddr_t end);

private:
    struct layout;

    // Where a walk along the list ended.
    struct place {
        outcome walk;      // failed: `last` is where the block is that is not as it should be
        bool found;        // whether a block fits
        user_block block;  // the one that fits, else the last one
        vaddr_t last;
    };

    // user_allocator.cpp: the operations, without the lock.
    vaddr_t allocate(u64 size);
    outcome release(vaddr_t data);
    outcome find_used(vaddr_t data, user_block& block);
    void shrink(user_block& block, u64 size);
    vaddr_t move(const user_block& block, u64 size);
    outcome expand(u64 bytes, bool has_last, user_block& last);

    // user_blocks.cpp: blocks and their neighbours.
    user_memory memory() const { return user_memory{paddr_t{page_directory_}}; }
    u64 most_blocks() const;
    bool can_hold_header(vaddr_t address) const;
    outcome read(vaddr_t address, user_block& block) const;
    outcome read_valid(vaddr_t address, user_block& block) const;
    void write(const user_block& block) const;
    bool is_linked(const user_block& block) const;
    bool is_followed_well(const user_block& block) const;
    bool may_absorb_next(const user_block& block) const;
    bool is_reachable(vaddr_t address) const;
    bool next_is_free(const user_block& block) const;
    place find_fit(u64 size) const;
    void write_free(vaddr_t address, u64 size, vaddr_t prev, vaddr_t next);
    void set_prev_of(vaddr_t block, vaddr_t prev) const;
    void split(user_block& block, u64 size);
    void take(user_block& block, u64 size);
    void absorb_next(user_block& block);

    void refuse(error_kind kind, u64 subject);

    u64 heap_start_ = 0;
    u64 heap_current_ = 0;
    u64 heap_limit_ = 0;
    u64 first_block_ = 0;
    u64 page_directory_ = 0;
    u64 total_allocated_ = 0;
    u64 num_blocks_ = 0;
    u64 errors_[ERROR_KINDS] = {};
    lib::spinlock lock_;
};

// docs/spec.md 15.3.
struct user_allocator::layout {
    static_assert(sizeof(user_allocator) == 104);
    static_assert(offsetof(user_allocator, heap_start_) == 0);
    static_assert(offsetof(user_allocator, heap_current_) == 8);
    static_assert(offsetof(user_allocator, heap_limit_) == 16);
    static_assert(offsetof(user_allocator, first_block_) == 24);
    static_assert(offsetof(user_allocator, page_directory_) == 32);
    static_assert(offsetof(user_allocator, total_allocated_) == 40);
    static_assert(offsetof(user_allocator, num_blocks_) == 48);
    static_assert(offsetof(user_allocator, errors_) == 56);
    static_assert(offsetof(user_allocator, lock_) == 96);
};

}  // namespace memory
