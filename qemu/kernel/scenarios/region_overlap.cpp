#include "address_map.hpp"
#include "placement.hpp"
#include "scenarios/scenario.hpp"
#include "scenarios/seeded_fault.hpp"
#include "virt.hpp"

// The kernel's address space is set up a second time: all of it becomes free once more, over what
// is free already.
namespace coronel {

namespace {

[[gnu::noipa]] void restart(virt& manager, vaddr_t start, u64 size) {
    manager.setup(start, size);  // The bug: the manager knows these regions already.
}

constexpr u32 BUG_LINE = __LINE__ - 3;

}  // namespace

void run_region_overlap(const options&) {
    const vaddr_t start{lib::up(linear(memory::placement_end()).value(), LARGE_PAGE_SIZE)};
    const u64 size = WINDOW_BASE - start;
    g_seeded_fault.begin({fault_kind::region_overlap, "region_overlap", __FILE__, BUG_LINE,
                          reinterpret_cast<u64>(&restart)});
    g_seeded_fault.address = start.value();
    g_seeded_fault.length = size;
    restart(*g_kernel_virtual_manager, start, size);
}

}  // namespace coronel
