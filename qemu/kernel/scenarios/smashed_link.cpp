#include "lib/bytes.hpp"
#include "scenarios/blocks.hpp"
#include "scenarios/scenario.hpp"

// The last eight samples in a ring; an older one is put right, before eight have come. The write
// goes into the header of the ring's own block, to its `next` or its `prev`.
namespace coronel {

namespace {

constexpr int64_t SLOTS = 8;
constexpr u64 SAMPLE = 0x5a5a5a5a5a5a5a50;

[[gnu::noipa]] void correct(u64* slots, int64_t newest, int64_t age, u64 sample) {
    slots[(newest - age) % SLOTS] = sample;  // The bug: the remainder of -3 is -3, not 5.
}

constexpr u32 BUG_LINE = __LINE__ - 3;

void smash(const char* scenario, u64 field) {
    void* rings[3];
    if (!allocate_row(SLOTS * sizeof(u64), rings)) {
        return;
    }
    memset(rings[1], 0, SLOTS * sizeof(u64));
    const bug which{fault_kind::smashed_link, scenario, __FILE__, BUG_LINE,
                    reinterpret_cast<u64>(&correct)};
    const memory::heap_block* const victim = header_of(rings[1]);
    const vaddr_t link = victim->address() + field;
    announce_damage(which, rings[1], victim, link, sizeof(u64));
    const u64 age = (victim->data() - link) / sizeof(u64);
    correct(static_cast<u64*>(rings[1]), 0, static_cast<int64_t>(age), SAMPLE);
    g_seeded_fault.keep_written();
}

}  // namespace

void run_smashed_next(const options&) {
    smash("smashed_next", offsetof(memory::heap_block, next));
}

void run_smashed_prev(const options&) {
    smash("smashed_prev", offsetof(memory::heap_block, prev));
}

}  // namespace coronel
