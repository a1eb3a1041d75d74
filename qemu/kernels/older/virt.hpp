#pragma once

#include "ilist.hpp"

// The manager of the kernel's virtual regions: free ones in ascending order. A region that is used
// up, or was joined to the one before it, stays in the list with size 0.
class virt {
public:
    struct node {
        u64 start;
        u64 size;
        node* next;
        node* prev;
    };

    void initialize(u64 start, u64 end);

    // The start of `bytes`, whole pages, from the first free region that is large enough; 0: none.
    u64 alloc(u64 bytes);

    void free(u64 start, u64 bytes);

    // The free region that begins there; null for none.
    const node* region_from(u64 start) const;

private:
    node* new_node(node* position, u64 start, u64 bytes);
    void join(node* left, node* right);

    u64 start_ = 0;
    u64 end_ = 0;
    lib::ilist<node*> free_mem_list_;
};

static_assert(sizeof(virt::node) == 32);

extern virt* g_kernel_virtual_manager;
