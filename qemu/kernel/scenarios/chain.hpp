#pragma once

#include "lib/integers.hpp"

namespace coronel {

// Blocks of the kernel heap of which each knows the one before: as many as there is memory for.
class chain {
public:
    chain() = default;
    ~chain() { free_all(); }

    chain(const chain&) = delete;
    chain& operator=(const chain&) = delete;

    // Whether there was memory for one more block of so many bytes, 8 at least.
    bool add(u64 size);

    // Last in, first out.
    void free_all();

    u64 count() const { return count_; }

private:
    struct link {
        link* before;
    };

    link* last_ = nullptr;
    u64 count_ = 0;
};

// Says whether the heap is sound and holds what it held at `allocated` bytes; a line of its own.
void print_verdict(const char* scenario, u64 allocated);

}  // namespace coronel
