#include "lib/text.hpp"
#include "scenarios/blocks.hpp"
#include "scenarios/scenario.hpp"

// A label of full length, and the terminating zero behind it.
namespace coronel {

namespace {

constexpr u64 LABEL_SIZE = 64;
constexpr const char* LABEL = "kernel heap: 64 KiB at least are added when no free block is big";
static_assert(lib::text{LABEL}.length() == LABEL_SIZE);

[[gnu::noipa]] void set_label(char* label, const char* text) {
    do {
        *label++ = *text;  // The bug: nobody made room for the zero.
    } while (*text++ != 0);
}

constexpr u32 BUG_LINE = __LINE__ - 4;

}  // namespace

void run_overflow1(const options&) {
    void* labels[2];
    if (!allocate_row(LABEL_SIZE, labels)) {
        return;
    }
    const bug which{fault_kind::heap_overflow, "overflow1", __FILE__, BUG_LINE,
                    reinterpret_cast<u64>(&set_label)};
    const memory::heap_block* const victim = header_of(labels[1]);
    announce_damage(which, labels[0], victim, victim->address(), 1);
    set_label(static_cast<char*>(labels[0]), LABEL);
    g_seeded_fault.keep_written();
}

}  // namespace coronel
