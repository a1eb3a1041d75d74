#include "routing.hpp"
#include "scenarios/blocks.hpp"
#include "scenarios/scenario.hpp"

// A session that has ended, while somebody still holds a pointer to it. Its memory has become two
// other blocks by then.
namespace coronel {

namespace {

struct session {
    u8 name[72];
    u64 started;
    u64 last_used;
    u64 requests;
    u8 rest[96];
};

constexpr u64 NEW_SIZE = 64;
constexpr u64 DAMAGE = 3 * sizeof(u64);

// The new second block's header lies in the middle of the old session.
static_assert(offsetof(session, started) == NEW_SIZE + offsetof(memory::heap_block, is_free));
static_assert(sizeof(session) >= 2 * NEW_SIZE + sizeof(memory::heap_block));

[[gnu::noipa]] void note_request(session* used, u64 now) {
    used->started = now;  // The bug: the session may have ended.
    used->last_used = now;
    used->requests = 1;
}

constexpr u32 BUG_LINE = __LINE__ - 5;

}  // namespace

void run_use_after_free(const options&) {
    void* sessions[2];  // the second one keeps the first one's memory apart when it is freed
    if (!allocate_row(sizeof(session), sessions)) {
        return;
    }
    memory::kfree(sessions[0]);
    void* const first = memory::kalloc(NEW_SIZE);
    void* const second = memory::kalloc(NEW_SIZE);
    if (first != sessions[0] || !header_of(first)->touches(header_of(second))) {
        return;  // smaller holes in front took them
    }
    const bug which{fault_kind::use_after_free, "use_after_free", __FILE__, BUG_LINE,
                    reinterpret_cast<u64>(&note_request)};
    announce_damage(which, first, header_of(second),
                    vaddr_t{sessions[0]} + offsetof(session, started), DAMAGE);
    note_request(static_cast<session*>(sessions[0]), 0x5ca1ab1e);
    g_seeded_fault.keep_written();
}

}  // namespace coronel
