#pragma once

#include "address.hpp"

// The allocator of page frames. A free frame has a node, and nodes are linked backwards: the last
// one freed is the first one handed out. A node comes from the placement allocator and is never
// used again: who allocates a frame drops its node.
class physical {
public:
    struct frame {
        u64 address;
        frame* previous;
    };

    // Takes [start, end), physical, whole pages.
    void initialize(u64 start, u64 end);

    // The physical address of a frame; 0 when there is none.
    u64 alloc();

    // Does not ask whether the frame is free already.
    void free(u64 address);

    const frame* last_free() const { return last_free_; }

private:
    u64 start_ = 0;
    u64 end_ = 0;
    frame* last_free_ = nullptr;
    u64 free_frames_ = 0;
};

static_assert(sizeof(physical::frame) == 16);

extern physical* g_physical_manager;
