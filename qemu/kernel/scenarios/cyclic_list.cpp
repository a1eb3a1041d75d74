#include "scenarios/blocks.hpp"
#include "scenarios/scenario.hpp"

// Letters lie behind their envelopes, and envelopes form lists. These letters have none: what lies
// in front of them is the header of their block, and the heap's list becomes a cycle.
namespace coronel {

namespace {

struct envelope {
    u64 sender;
    u64 receiver;
    envelope* next;
    u64 reserved[3];
};
static_assert(sizeof(envelope) == sizeof(memory::heap_block));
static_assert(offsetof(envelope, next) == offsetof(memory::heap_block, next));

envelope* envelope_of(void* letter) {
    return (vaddr_t{letter} - sizeof(envelope)).as<envelope>();
}

[[gnu::noipa]] void answer_with(void* letter, void* answer) {
    envelope_of(letter)->next = envelope_of(answer);  // The bug: not every letter has an envelope.
}

constexpr u32 BUG_LINE = __LINE__ - 3;

}  // namespace

void run_cyclic_list(const options&) {
    void* letters[4];
    if (!allocate_row(64, letters)) {
        return;
    }
    const bug which{fault_kind::cyclic_list, "cyclic_list", __FILE__, BUG_LINE,
                    reinterpret_cast<u64>(&answer_with)};
    const memory::heap_block* const victim = header_of(letters[2]);
    announce_damage(which, letters[2], victim, vaddr_t{&victim->next}, sizeof victim->next);
    answer_with(letters[2], letters[0]);
    g_seeded_fault.keep_written();
}

}  // namespace coronel
