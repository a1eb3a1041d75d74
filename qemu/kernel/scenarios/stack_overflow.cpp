#include "address_map.hpp"
#include "scenarios/scenario.hpp"
#include "scenarios/seeded_fault.hpp"

// A walk up a tree of devices in which one is its own ancestor: it ends in the guard page below the
// kernel stack.
namespace coronel {

namespace {

struct device {
    const device* parent;
    u64 number;
};

[[gnu::noipa]] u64 depth(const device* of) {
    if (of == nullptr) {
        return 0;
    }
    return 1 + depth(of->parent);  // The bug: nothing keeps two devices from being each other's.
}

constexpr u32 BUG_LINE = __LINE__ - 3;

}  // namespace

void run_stack_overflow(const options&) {
    device bridge{nullptr, 1};
    const device bus{&bridge, 2};
    bridge.parent = &bus;
    g_seeded_fault.begin({fault_kind::stack_overflow, "stack_overflow", __FILE__, BUG_LINE,
                          reinterpret_cast<u64>(&depth)});
    g_seeded_fault.address = STACK_GUARD.value();
    g_seeded_fault.length = PAGE_SIZE;
    g_seeded_fault.culprit = depth(&bus);
}

}  // namespace coronel
