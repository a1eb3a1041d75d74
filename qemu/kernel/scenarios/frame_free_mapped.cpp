#include "physical.hpp"
#include "scenarios/driver_page.hpp"
#include "scenarios/scenario.hpp"
#include "scenarios/seeded_fault.hpp"

// A frame that goes back to the free list while a page still leads to it.
namespace coronel {

namespace {

[[gnu::noipa]] void close(const driver_page& opened) {
    g_physical_manager->free(opened.frame);  // The bug: the page stays mapped.
}

constexpr u32 BUG_LINE = __LINE__ - 3;

}  // namespace

void run_frame_free_mapped(const options&) {
    driver_page opened;
    if (opened.open() == outcome::failed) {
        return;
    }
    g_seeded_fault.begin({fault_kind::frame_free_mapped, "frame_free_mapped", __FILE__, BUG_LINE,
                          reinterpret_cast<u64>(&close)});
    g_seeded_fault.victim = vaddr_t{g_physical_manager->node_of(opened.frame)}.value();
    g_seeded_fault.address = opened.page.value();
    g_seeded_fault.length = PAGE_SIZE;
    close(opened);
}

}  // namespace coronel
