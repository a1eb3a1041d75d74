#include "routing.hpp"
#include "scenarios/blocks.hpp"
#include "scenarios/scenario.hpp"

// Work that is given up half-way, and keeps what it had allocated.
namespace coronel {

namespace {

constexpr u64 SIZE = 96;
constexpr u64 TIMES = 16;

constinit u64 g_last = 0;  // what the scenario notes: no pointer, and no part of the bug

[[gnu::noipa]] bool load_settings(const char* text) {
    void* const copy = memory::kalloc(SIZE);
    g_last = vaddr_t{copy}.value();
    if (*text != '[') {
        return false;  // The bug: the copy is nobody's any more.
    }
    memory::kfree(copy);
    return true;
}

constexpr u32 BUG_LINE = __LINE__ - 5;

}  // namespace

// The victim is the first block that is lost, the culprit the last, the length that of all data.
void run_leak(const options&) {
    const bug which{fault_kind::memory_leak, "leak", __FILE__, BUG_LINE,
                    reinterpret_cast<u64>(&load_settings)};
    load_settings("name=coronel");
    const void* const first = vaddr_t{g_last}.as<void>();
    announce_damage(which, first, header_of(first), vaddr_t{first}, 0);
    for (u64 done = 1; done < TIMES; ++done) {
        load_settings("name=coronel");
    }
    g_seeded_fault.culprit = header_of(vaddr_t{g_last}.as<void>())->address().value();
    g_seeded_fault.length = TIMES * SIZE;
    g_last = 0;
}

}  // namespace coronel
