#pragma once

#include "lib/integers.hpp"

namespace coronel {

enum class fault_kind : u32 {
    none,
    heap_overflow,
    shared_user_page,
    kernel_user_bit,
    heap_underflow,
    use_after_free,
    double_free,
    invalid_free,
    wild_write,
    smashed_link,
    cyclic_list,
    frame_double_free,
    frame_free_mapped,
    page_entry_scribble,
    region_overlap,
    stack_overflow,
    memory_leak,
};

inline constexpr u64 MAX_SEEDED_BYTES = 64;

// A bug in the source: what it is, whose, and where.
struct bug {
    fault_kind kind;
    const char* scenario;
    const char* file;
    u32 line;      // of the faulty statement
    u64 function;  // its first address
};

// What a buggy scenario knows of its own bug, for tests to compare with what a debugger finds
// (docs/spec.md 10, 11.4). Addresses are virtual. Where no block is concerned, the victim is the
// record that describes what is: a frame's node.
struct seeded_fault {
    fault_kind kind;
    u32 line;                       // of the faulty statement
    u64 victim;                     // header of the damaged block
    u64 culprit;                    // header of the block whose owner did it
    u64 address;                    // first damaged byte
    u64 length;                     // number of damaged bytes
    const char* file;               // of the faulty statement
    const char* name;               // the scenario
    u64 caller;                     // an address inside the faulty function
    u8 original[MAX_SEEDED_BYTES];  // the damaged bytes before, as many as fit
    u8 written[MAX_SEEDED_BYTES];   // and after

    // Forgets the bug before and says which one comes; the addresses follow.
    void begin(const bug& which);

    // Copy the damaged bytes: before the bug strikes, and when it has.
    void keep_original();
    void keep_written();
};

static_assert(sizeof(seeded_fault) == 192);
static_assert(offsetof(seeded_fault, kind) == 0);
static_assert(offsetof(seeded_fault, line) == 4);
static_assert(offsetof(seeded_fault, victim) == 8);
static_assert(offsetof(seeded_fault, culprit) == 16);
static_assert(offsetof(seeded_fault, address) == 24);
static_assert(offsetof(seeded_fault, length) == 32);
static_assert(offsetof(seeded_fault, file) == 40);
static_assert(offsetof(seeded_fault, name) == 48);
static_assert(offsetof(seeded_fault, caller) == 56);
static_assert(offsetof(seeded_fault, original) == 64);
static_assert(offsetof(seeded_fault, written) == 128);

}  // namespace coronel

extern coronel::seeded_fault g_seeded_fault;
