#include "lib/bytes.hpp"
#include "scenarios/blocks.hpp"
#include "scenarios/scenario.hpp"

// A table of counters, and a number that has none: the write goes far astray.
namespace coronel {

namespace {

constexpr u64 COUNTERS = 8;
constexpr u64 FIRST_CODE = 64;
constexpr u64 ROW = 4;
constexpr u64 STRIDE = sizeof(memory::heap_block) + COUNTERS * sizeof(u64);

// From the counters in the row's last block back to the magic of its first one.
constexpr u64 DISTANCE = (ROW - 1) * STRIDE + sizeof(memory::heap_block) -
                         offsetof(memory::heap_block, magic);
static_assert(DISTANCE / sizeof(u64) < FIRST_CODE);
constexpr u64 UNKNOWN_CODE = FIRST_CODE - DISTANCE / sizeof(u64);

[[gnu::noipa]] void count(u64* counters, u64 code) {
    ++counters[code - FIRST_CODE];  // The bug: there are smaller codes as well.
}

constexpr u32 BUG_LINE = __LINE__ - 3;

}  // namespace

void run_wild_header(const options&) {
    void* row[ROW];
    if (!allocate_row(COUNTERS * sizeof(u64), row)) {
        return;
    }
    memset(row[ROW - 1], 0, COUNTERS * sizeof(u64));
    const bug which{fault_kind::wild_write, "wild_header", __FILE__, BUG_LINE,
                    reinterpret_cast<u64>(&count)};
    const memory::heap_block* const victim = header_of(row[0]);
    announce_damage(which, row[ROW - 1], victim, vaddr_t{&victim->magic}, sizeof victim->magic);
    count(static_cast<u64*>(row[ROW - 1]), UNKNOWN_CODE);
    g_seeded_fault.keep_written();
}

}  // namespace coronel
