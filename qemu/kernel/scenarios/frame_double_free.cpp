#include "physical.hpp"
#include "scenarios/scenario.hpp"
#include "scenarios/seeded_fault.hpp"

// Two users of one frame, and the first one to leave gives it back. The frame allocator refuses the
// second.
namespace coronel {

namespace {

struct shared_frame {
    paddr_t frame;
    u32 users;
};

[[gnu::noipa]] void leave(shared_frame& shared) {
    --shared.users;
    if (shared.users <= 1) {
        g_physical_manager->free(shared.frame);  // The bug: one user is not none.
    }
}

constexpr u32 BUG_LINE = __LINE__ - 4;

}  // namespace

void run_frame_double_free(const options&) {
    shared_frame shared{g_physical_manager->alloc(), 2};
    if (shared.frame.is_null()) {
        return;
    }
    g_seeded_fault.begin({fault_kind::frame_double_free, "frame_double_free", __FILE__, BUG_LINE,
                          reinterpret_cast<u64>(&leave)});
    g_seeded_fault.victim = vaddr_t{g_physical_manager->node_of(shared.frame)}.value();
    leave(shared);
    leave(shared);
}

}  // namespace coronel
