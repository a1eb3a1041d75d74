#pragma once

#include "address.hpp"

// Page-table entries: SDM vol. 3A, 4.5; docs/spec.md 5.2.

// What a page may be used for. Every page may be read.
enum class page_flags : u8 {
    read = 0,
    write = 1,
    user = 2,
    execute = 4,
    device = 8,
};

constexpr page_flags operator|(page_flags left, page_flags right) {
    return static_cast<page_flags>(static_cast<u8>(left) | static_cast<u8>(right));
}

constexpr bool has(page_flags flags, page_flags wanted) {
    return (static_cast<u8>(flags) & static_cast<u8>(wanted)) != 0;
}

// The tables from the leaves up. A table of level n maps 512 times 4096 << 9n bytes.
enum class table_level : u64 { pt = 0, pd = 1, pdpt = 2, pml4 = 3 };

constexpr table_level below(table_level level) {
    return static_cast<table_level>(static_cast<u64>(level) - 1);
}

class page_entry {
public:
    constexpr page_entry() = default;

    static constexpr page_entry table(paddr_t table) {
        return page_entry{table.value() | PRESENT | WRITABLE};
    }
    static constexpr page_entry user_table(paddr_t table) {
        return page_entry{table.value() | PRESENT | WRITABLE | USER};
    }
    static constexpr page_entry leaf(table_level level, paddr_t frame, page_flags flags) {
        return page_entry{frame.value() | PRESENT |
                          (level == table_level::pt ? 0 : LARGE) |
                          (has(flags, page_flags::write) ? WRITABLE : 0) |
                          (has(flags, page_flags::user) ? USER : 0) |
                          (has(flags, page_flags::device) ? NOT_CACHED | WRITE_THROUGH : 0) |
                          (has(flags, page_flags::execute) ? 0 : NO_EXECUTE)};
    }

    constexpr bool is_present() const { return (raw_ & PRESENT) != 0; }

    // Whether it maps memory, in a table of this level, rather than referring to a table.
    constexpr bool is_leaf(table_level level) const {
        return is_present() && (level == table_level::pt || (raw_ & LARGE) != 0);
    }

    // The frame it maps, or the table it refers to.
    constexpr paddr_t frame() const { return paddr_t{raw_ & FRAME}; }

private:
    static constexpr u64 PRESENT = 1U << 0;
    static constexpr u64 WRITABLE = 1U << 1;
    static constexpr u64 USER = 1U << 2;
    static constexpr u64 WRITE_THROUGH = 1U << 3;
    static constexpr u64 NOT_CACHED = 1U << 4;
    static constexpr u64 LARGE = 1U << 7;
    static constexpr u64 NO_EXECUTE = u64{1} << 63;
    static constexpr u64 FRAME = 0x000ffffffffff000;

    constexpr explicit page_entry(u64 raw) : raw_{raw} {}

    u64 raw_ = 0;
};

struct page_table {
    static constexpr u64 ENTRIES = 512;

    static constexpr u64 index(table_level level, vaddr_t address) {
        return (address.value() >> (12 + 9 * static_cast<u64>(level))) % ENTRIES;
    }

    page_entry& at(table_level level, vaddr_t address) { return entries[index(level, address)]; }

    page_entry entries[ENTRIES];
};

static_assert(sizeof(page_entry) == 8);
static_assert(sizeof(page_table) == PAGE_SIZE);
