#pragma once

#include "address.hpp"

namespace memory {

struct heap_block;

// Where headers may be looked at during one operation: within the heap's bounds, but not where the
// virtual manager has a free region, or where nothing is mapped (docs/spec.md 7.3). Most heaps have
// no free region between their own, and then a walk does not ask again.
class header_area {
public:
    header_area(u64 start, u64 end);

    u64 end() const { return end_; }

    // Whether a header at `address` would be aligned and lie in mapped memory of the heap.
    bool can_hold(vaddr_t address) const;
    bool can_hold(const heap_block* block) const { return can_hold(vaddr_t{block}); }

private:
    enum class holes { none, some };

    u64 start_;
    u64 end_;
    holes holes_;
};

}  // namespace memory
