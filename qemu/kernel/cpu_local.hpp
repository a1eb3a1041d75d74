#pragma once

#include "lib/integers.hpp"

// What each CPU has of its own; GS points to it while the CPU is in ring 0 (docs/spec.md 13.3).
// user/user_mode.S knows the offsets.
struct cpu_local {
    u64 index;
    u64 kernel_rsp;  // of the caller of enter_user, while ring 3 runs
    u64 user_rsp;    // parked there for two instructions at a system call
    u64 trap_stack;  // the end of the frame that ring 3 traps into
};

static_assert(offsetof(cpu_local, kernel_rsp) == 8);
static_assert(offsetof(cpu_local, user_rsp) == 16);
static_assert(offsetof(cpu_local, trap_stack) == 24);

inline constexpr u64 MAX_CPUS = 2;

extern cpu_local g_cpu_locals[MAX_CPUS];
