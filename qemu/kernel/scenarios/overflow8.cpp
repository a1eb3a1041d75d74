#include "scenarios/blocks.hpp"
#include "scenarios/scenario.hpp"

// A table with one entry more than it has.
namespace coronel {

namespace {

constexpr u64 ENTRIES = 8;
constexpr u64 EMPTY = ~u64{0};

[[gnu::noipa]] void clear_table(u64* entries, u64 count) {
    for (u64 index = 0; index <= count; ++index) {
        entries[index] = EMPTY;  // The bug: the last entry is number `count - 1`.
    }
}

constexpr u32 BUG_LINE = __LINE__ - 4;

}  // namespace

void run_overflow8(const options&) {
    void* tables[2];
    if (!allocate_row(ENTRIES * sizeof(u64), tables)) {
        return;
    }
    const bug which{fault_kind::heap_overflow, "overflow8", __FILE__, BUG_LINE,
                    reinterpret_cast<u64>(&clear_table)};
    const memory::heap_block* const victim = header_of(tables[1]);
    announce_damage(which, tables[0], victim, victim->address(), sizeof(u64));
    clear_table(static_cast<u64*>(tables[0]), ENTRIES);
    g_seeded_fault.keep_written();
}

}  // namespace coronel
