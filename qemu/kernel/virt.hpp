#pragma once

#include "address.hpp"
#include "errors.hpp"
#include "lib/ilist.hpp"
#include "lib/outcome.hpp"
#include "lib/spinlock.hpp"

// The virtual region manager: the free regions of one address space (docs/spec.md 6).
class virt {
public:
    // A free region in the list, or an unused node in the pool (all but `next` is 0).
    struct node {
        u64 start;
        u64 size;
        node* next;
        node* prev;
    };

    // Where nodes come from and go back to (docs/spec.md 6.2, 15.6).
    enum class node_source : u32 { pool, heap };

    constexpr explicit virt(node_source nodes_from = node_source::pool) : nodes_from_{nodes_from} {}

    // Puts the nodes of one zeroed page into the pool.
    void add_nodes(vaddr_t page);

    // All of [start, start + size) becomes free. Fails when there is no node to say so.
    outcome setup(vaddr_t start, u64 size);

    // Returns all nodes to the heap. Nothing is free any more.
    void give_up();

    // The first region that is large enough, cut at its front; or null.
    vaddr_t alloc(u64 size);

    // Exactly [start, start + size); or null.
    vaddr_t alloc(vaddr_t start, u64 size);

    void free(vaddr_t start, u64 size);

    // Whether any byte of [start, start + size) lies in a free region.
    bool has_free(vaddr_t start, u64 size);

    // Counts and logs what the owner of the regions found wrong.
    void refuse(memory::error_kind kind, u64 subject);

    // How many operations were refused for this reason.
    u64 errors(memory::error_kind kind) const { return errors_[static_cast<u32>(kind)]; }

private:
    struct layout;

    void grow_pool();
    bool has_spare();
    node* take_spare();
    void push_spare(node* unused);
    void give_back(node* unused);

    // Where a walk along the list ended.
    struct place {
        outcome walk;  // failed: the list goes on, at `at`, behind as many regions as there can be
        node* at;      // the region that is wanted; null: there is none
    };

    template <typename Wanted>
    place find(Wanted is_wanted) const;
    place find_first_fit(u64 size) const;
    place find_holder(u64 start, u64 size) const;
    bool is_inside(u64 start, u64 size) const;

    void cut(node* region, u64 start, u64 size);
    outcome join(u64 start, u64 size, node* upper);
    void remove(node* region);

    lib::ilist<node*> free_mem_list_;
    node* spare_ = nullptr;
    u64 spare_count_ = 0;
    u64 start_ = 0;
    u64 end_ = 0;
    u64 errors_[memory::ERROR_KINDS] = {};
    lib::spinlock lock_;
    node_source nodes_from_;
};

extern virt* g_kernel_virtual_manager;

// docs/spec.md 10.
struct virt::layout {
    static_assert(sizeof(node) == 32);
    static_assert(offsetof(node, start) == 0);
    static_assert(offsetof(node, size) == 8);
    static_assert(offsetof(node, next) == 16);
    static_assert(offsetof(node, prev) == 24);

    static_assert(sizeof(virt) == 104);
    static_assert(offsetof(virt, free_mem_list_) == 0);
    static_assert(offsetof(virt, spare_) == 24);
    static_assert(offsetof(virt, spare_count_) == 32);
    static_assert(offsetof(virt, start_) == 40);
    static_assert(offsetof(virt, end_) == 48);
    static_assert(offsetof(virt, errors_) == 56);
    static_assert(offsetof(virt, lock_) == 96);
    static_assert(offsetof(virt, nodes_from_) == 100);
};
