#pragma once

#include "lib/integers.hpp"

namespace coronel {

enum class fault_kind : u32 {
    none,
    heap_overflow,
};

inline constexpr u64 MAX_SEEDED_BYTES = 64;

// What a buggy scenario knows of its own bug, for tests to compare with what a debugger finds
// (docs/spec.md 10, 11.4). Addresses are virtual.
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
