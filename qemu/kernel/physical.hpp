#pragma once

#include "address.hpp"
#include "errors.hpp"
#include "lib/spinlock.hpp"

inline constexpr u64 MAX_MANAGED_RANGES = 32;

// The physical frame allocator: all free frames in one LIFO list (docs/spec.md 4.4 to 4.8).
class physical {
public:
    // One for every frame number below physical_end_. Free: its address and the next free one.
    // Else: {0, null}.
    struct frame {
        u64 address;
        frame* previous;
    };

    // Memory whose frames are managed, from start to end (exclusive).
    struct range {
        u64 start;
        u64 end;
    };

    // Gives the manager its nodes, all zero: one for every frame below `end`.
    void adopt_nodes(frame* nodes, paddr_t end);

    // Adds the frames of [start, start + length) so that the lowest is the first to go.
    void setup(paddr_t start, u64 length);

    // A frame, or null.
    paddr_t alloc();

    void free(paddr_t address);

    u64 free_count() const { return free_count_; }

    // The node that describes a frame below physical_end_.
    const frame* node_of(paddr_t address) const { return &nodes_[address.value() / PAGE_SIZE]; }

    // How many operations were refused for this reason.
    u64 errors(memory::error_kind kind) const { return errors_[static_cast<u32>(kind)]; }

private:
    struct layout;

    bool is_managed(paddr_t address) const;
    bool is_sound(const frame* node) const;
    void push(u64 number);
    void refuse(memory::error_kind kind, u64 subject);

    u64 physical_end_ = 0;
    frame* free_list_ = nullptr;
    frame* nodes_ = nullptr;
    u64 node_count_ = 0;
    u64 free_count_ = 0;
    range ranges_[MAX_MANAGED_RANGES] = {};
    u64 range_count_ = 0;
    u64 errors_[memory::ERROR_KINDS] = {};
    lib::spinlock lock_;
};

extern physical* g_physical_manager;

// docs/spec.md 10.
struct physical::layout {
    static_assert(sizeof(frame) == 16);
    static_assert(offsetof(frame, address) == 0);
    static_assert(offsetof(frame, previous) == 8);

    static_assert(sizeof(range) == 16);
    static_assert(offsetof(range, start) == 0);
    static_assert(offsetof(range, end) == 8);

    static_assert(sizeof(physical) == 608);
    static_assert(offsetof(physical, physical_end_) == 0);
    static_assert(offsetof(physical, free_list_) == 8);
    static_assert(offsetof(physical, nodes_) == 16);
    static_assert(offsetof(physical, node_count_) == 24);
    static_assert(offsetof(physical, free_count_) == 32);
    static_assert(offsetof(physical, ranges_) == 40);
    static_assert(offsetof(physical, range_count_) == 552);
    static_assert(offsetof(physical, errors_) == 560);
    static_assert(offsetof(physical, lock_) == 600);
};
