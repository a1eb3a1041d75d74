#pragma once

#include "user/user_allocator.hpp"
#include "user/user_memory.hpp"
#include "virt.hpp"

namespace memory {

// The address space of one process and all that is in it (docs/spec.md 14.3 to 14.6).
class process_memory {
public:
    // A directory, and the regions of mmap. What fails half way is taken back by cleanup_all.
    outcome create();

    // Zeroed pages for code and data. A size of 0 is no range.
    outcome setup_memory_layout(vaddr_t code, u64 code_size, vaddr_t data, u64 data_size);

    // The top `size` bytes of the stack.
    outcome setup_stack(u64 size);

    // More stack, down to the page of an access that found none there; fails when the address is
    // not the stack's, or without memory.
    outcome grow_stack(vaddr_t address);

    // Whether the process itself may do that with all of [pointer, pointer + size).
    bool validate_user_pointer(vaddr_t pointer, u64 size, page_flags access) const;

    // New pages, at `start` or, when it is null, where there is room; or null.
    vaddr_t mmap(vaddr_t start, u64 length, u64 protection);
    outcome munmap(vaddr_t start, u64 length);

    // Everything goes back to where it came from. The space must not be the active one.
    void cleanup_all();

    user_allocator& heap() { return heap_; }
    user_memory bytes() const { return user_memory{directory()}; }
    paddr_t directory() const { return paddr_t{page_directory_}; }

    // What docs/spec.md 15.1 gives the bits of `protection`.
    static constexpr u64 protection_read = 1;
    static constexpr u64 protection_write = 2;

private:
    struct layout;

    u64 page_directory_ = 0;
    u64 code_start_ = 0;
    u64 code_end_ = 0;
    u64 data_start_ = 0;
    u64 data_end_ = 0;
    u64 stack_start_ = 0;
    u64 stack_end_ = 0;
    user_allocator heap_;
    virt mmap_{virt::node_source::heap};
};

// docs/spec.md 14.3.
struct process_memory::layout {
    static_assert(sizeof(process_memory) == 264);
    static_assert(offsetof(process_memory, page_directory_) == 0);
    static_assert(offsetof(process_memory, code_start_) == 8);
    static_assert(offsetof(process_memory, code_end_) == 16);
    static_assert(offsetof(process_memory, data_start_) == 24);
    static_assert(offsetof(process_memory, data_end_) == 32);
    static_assert(offsetof(process_memory, stack_start_) == 40);
    static_assert(offsetof(process_memory, stack_end_) == 48);
    static_assert(offsetof(process_memory, heap_) == 56);
    static_assert(offsetof(process_memory, mmap_) == 160);
};

}  // namespace memory
