#pragma once

#include "lib/integers.hpp"

// How many changes of the process list, or of a process's memory, are under way (docs/spec.md 14.8).
// Processes have one CPU, so this keeps nobody out: it tells whoever looks at the stopped kernel that
// what such a change touches need not fit together yet.
extern u32 g_process_changes;

namespace coronel {

// A change is under way from here to the end of the scope.
class process_change {
public:
    process_change() { __atomic_fetch_add(&g_process_changes, 1U, __ATOMIC_SEQ_CST); }
    ~process_change() { __atomic_fetch_sub(&g_process_changes, 1U, __ATOMIC_SEQ_CST); }

    process_change(const process_change&) = delete;
    process_change& operator=(const process_change&) = delete;
};

}  // namespace coronel
