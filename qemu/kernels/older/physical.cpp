#include "physical.hpp"

#include "placement.hpp"

constinit physical* g_physical_manager = nullptr;

void physical::initialize(u64 start, u64 end) {
    start_ = start;
    end_ = end;
    for (u64 address = end; address > start; address -= PAGE_SIZE) {
        free(address - PAGE_SIZE);
    }
}

u64 physical::alloc() {
    frame* const node = last_free_;
    if (node == nullptr) {
        return 0;
    }
    last_free_ = node->previous;
    --free_frames_;
    return node->address;
}

void physical::free(u64 address) {
    auto* const node =
        static_cast<frame*>(placement::allocate(sizeof(frame), alignof(frame)));
    if (node == nullptr) {
        return;  // the frame is lost
    }
    node->address = address;
    node->previous = last_free_;
    last_free_ = node;
    ++free_frames_;
}
