#include "virt.hpp"

#include "placement.hpp"

constinit virt* g_kernel_virtual_manager = nullptr;

void virt::initialize(u64 start, u64 end) {
    start_ = start;
    end_ = end;
    new_node(nullptr, start, end - start);
}

u64 virt::alloc(u64 bytes) {
    for (node* region = free_mem_list_.head(); region != nullptr; region = region->next) {
        if (region->size >= bytes) {
            const u64 start = region->start;
            region->start += bytes;
            region->size -= bytes;  // 0 stands for a deleted region
            return start;
        }
    }
    return 0;
}

void virt::free(u64 start, u64 bytes) {
    node* before = nullptr;
    node* after = free_mem_list_.head();
    while (after != nullptr && (after->size == 0 || after->start < start)) {
        if (after->size != 0) {
            before = after;
        }
        after = after->next;
    }
    if (before != nullptr && before->start + before->size == start) {
        before->size += bytes;
    } else {
        before = new_node(before, start, bytes);
    }
    if (after != nullptr) {
        join(before, after);
    }
}

const virt::node* virt::region_from(u64 start) const {
    const node* region = free_mem_list_.head();
    while (region != nullptr && (region->size == 0 || region->start != start)) {
        region = region->next;
    }
    return region;
}

// One region instead of two that touch; the right one becomes a deleted one.
void virt::join(node* left, node* right) {
    if (left->start + left->size == right->start) {
        left->size += right->size;
        right->size = 0;
    }
}

virt::node* virt::new_node(node* position, u64 start, u64 bytes) {
    auto* const made = static_cast<node*>(placement::allocate(sizeof(node), alignof(node)));
    if (made != nullptr) {
        made->start = start;
        made->size = bytes;
        free_mem_list_.insert_after(position, made);
    }
    return made;
}
