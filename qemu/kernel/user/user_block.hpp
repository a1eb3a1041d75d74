#pragma once

#include "heap.hpp"

namespace memory {

// The header of a block of a user heap, copied, and where it lies. The process can write anything
// into the original at any time: its addresses are compared, and read through user_memory after a
// check, never followed.
struct user_block {
    vaddr_t where;
    heap_block header;

    vaddr_t data() const { return where + sizeof(heap_block); }
    vaddr_t end() const { return data() + header.size; }
    vaddr_t next() const { return vaddr_t{header.next}; }
    vaddr_t prev() const { return vaddr_t{header.prev}; }
    bool is_free() const { return header.is_free == 1; }
    bool touches(vaddr_t other) const { return end() == other; }
    bool can_be_split(u64 wanted) const {
        return header.size - wanted >= sizeof(heap_block) + 16;
    }

    void set_next(vaddr_t block) { header.next = block.as<heap_block>(); }
    void set_prev(vaddr_t block) { header.prev = block.as<heap_block>(); }
    void set_free() {
        header.is_free = 1;
        header.magic = HEAP_MAGIC_FREE;
    }
    void set_used() {
        header.is_free = 0;
        header.magic = HEAP_MAGIC_USED;
    }
};

}  // namespace memory
