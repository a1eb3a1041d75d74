#pragma once

#include "address.hpp"
#include "page_flags.hpp"

// Page tables and their entries: SDM vol. 3A, 4.5; docs/spec.md 5.2.

// The tables from the leaves up. An entry of a table of level n spans 4096 << 9n bytes.
enum class table_level : u64 { pt = 0, pd = 1, pdpt = 2, pml4 = 3 };

constexpr table_level below(table_level level) {
    return static_cast<table_level>(static_cast<u64>(level) - 1);
}

namespace page_bit {

inline constexpr u64 present = 1U << 0;
inline constexpr u64 writable = 1U << 1;
inline constexpr u64 user = 1U << 2;
inline constexpr u64 write_through = 1U << 3;
inline constexpr u64 not_cached = 1U << 4;
inline constexpr u64 large = 1U << 7;  // maps memory although it is no entry of a PT
inline constexpr u64 frame = 0x000ffffffffff000;
inline constexpr u64 no_execute = u64{1} << 63;

}  // namespace page_bit

class page_entry {
public:
    constexpr page_entry() = default;

    // One that refers to a table. What may be done with a page is decided in its leaf.
    static constexpr page_entry table(paddr_t table) {
        return page_entry{table.value() | page_bit::present | page_bit::writable};
    }
    static constexpr page_entry user_table(paddr_t table) {
        return page_entry{table.value() | page_bit::present | page_bit::writable | page_bit::user};
    }

    // One that maps memory, in a table of this level.
    static constexpr page_entry leaf(table_level level, paddr_t frame, page_flags flags) {
        u64 raw = frame.value() | page_bit::present;
        raw |= level == table_level::pt ? 0 : page_bit::large;
        raw |= has(flags, page_flags::write) ? page_bit::writable : 0;
        raw |= has(flags, page_flags::user) ? page_bit::user : 0;
        raw |= has(flags, page_flags::device) ? page_bit::not_cached | page_bit::write_through : 0;
        raw |= has(flags, page_flags::execute) ? 0 : page_bit::no_execute;
        return page_entry{raw};
    }

    constexpr bool is_present() const { return (raw_ & page_bit::present) != 0; }
    constexpr bool is_writable() const { return (raw_ & page_bit::writable) != 0; }
    constexpr bool is_user() const { return (raw_ & page_bit::user) != 0; }

    // Whether it maps memory, as an entry of a table of this level.
    constexpr bool is_leaf(table_level level) const {
        return is_present() && (level == table_level::pt || (raw_ & page_bit::large) != 0);
    }

    constexpr u64 raw() const { return raw_; }

    // The frame it maps, or the table it refers to.
    constexpr paddr_t frame() const { return paddr_t{raw_ & page_bit::frame}; }

private:
    constexpr explicit page_entry(u64 raw) : raw_{raw} {}

    u64 raw_ = 0;
};

inline constexpr u64 TABLE_ENTRIES = 512;

struct page_table {
    static constexpr u64 index(table_level level, vaddr_t address) {
        return (address.value() >> (12 + 9 * static_cast<u64>(level))) % TABLE_ENTRIES;
    }

    page_entry& at(table_level level, vaddr_t address) { return entries[index(level, address)]; }

    page_entry entries[TABLE_ENTRIES];
};

static_assert(sizeof(page_entry) == 8);
static_assert(sizeof(page_table) == PAGE_SIZE);
