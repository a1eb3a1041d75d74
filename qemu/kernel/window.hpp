#pragma once

#include "paging.hpp"

// One frame made visible for one scope, wherever it lies in physical memory (docs/spec.md 5.1).
// Paging uses its windows under its lock; the others serve one copy each, with interrupts off.
class window {
public:
    // Each CPU has eight: a walk looks at one table, and beside it a new table is filled; bytes are
    // copied from a source to a target; tables are freed with those above them in view.
    enum class slot : u64 { walk = 0, fresh = 1, source = 2, target = 3, tables = 4 };

    static constexpr slot slot_of(table_level level) {
        return static_cast<slot>(static_cast<u64>(slot::tables) + static_cast<u64>(level));
    }

    window(slot which, paddr_t frame);
    ~window();

    window(const window&) = delete;
    window& operator=(const window&) = delete;

    page_table& table() const { return *page_.as<page_table>(); }

private:
    static constexpr u64 SLOTS_PER_CPU = 8;

    u64 index_;
    vaddr_t page_;
};
