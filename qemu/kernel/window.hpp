#pragma once

#include "paging.hpp"

// One frame made visible for one scope, wherever it lies in physical memory (docs/spec.md 5.1).
// Only paging uses windows, and only under its lock.
class window {
public:
    // Each CPU has eight. Two are in use: a walk looks at one table, and beside it a new table is
    // filled.
    enum class slot : u64 { walk = 0, fresh = 1 };

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
