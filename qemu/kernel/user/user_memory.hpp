#pragma once

#include "address.hpp"
#include "lib/outcome.hpp"
#include "page_flags.hpp"

namespace memory {

// In which order pages are mapped or unmapped: it decides which frames they get, and in which
// order the frames lie in the free list afterwards.
enum class page_order { ascending, descending };

// The lower half of one address space, seen from the kernel: through windows, never through user
// addresses (docs/spec.md 13.1). Bytes are reached only in pages that have the user bit; what the
// process itself may do there is the caller's question.
class user_memory {
public:
    explicit user_memory(paddr_t directory) : directory_{directory} {}

    outcome read(vaddr_t from, void* to, u64 bytes) const;
    outcome write(vaddr_t to, const void* from, u64 bytes) const;
    outcome fill(vaddr_t start, u8 value, u64 bytes) const;
    outcome copy(vaddr_t to, vaddr_t from, u64 bytes) const;

    // Maps zeroed frames behind all pages of [start, start + bytes), or behind none.
    outcome map(vaddr_t start, u64 bytes, page_flags flags, page_order order) const;

    // Unmaps them and gives their frames back.
    void unmap(vaddr_t start, u64 bytes, page_order order) const;

    // Whether every page that [start, start + bytes) lies in can be read by the process, and
    // written if `flags` say so.
    bool allows(vaddr_t start, u64 bytes, page_flags flags) const;

private:
    paddr_t translate(vaddr_t address) const;
    outcome map_page(vaddr_t page, page_flags flags) const;
    void unmap_page(vaddr_t page) const;

    paddr_t directory_;
};

}  // namespace memory
