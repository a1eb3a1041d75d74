#include "paging.hpp"
#include "physical.hpp"
#include "scenarios/driver_page.hpp"
#include "scenarios/scenario.hpp"
#include "scenarios/seeded_fault.hpp"
#include "virt.hpp"

// A driver finishes a transfer into a page that it has given back. The frame has become a page
// table by then, and one of its entries is now -1.
namespace coronel {

namespace {

constexpr u64 TRANSFER = 5;  // its descriptor's number

struct descriptor {
    int64_t status;  // -1: finished
};

[[gnu::noipa]] void finish(descriptor* ring, u64 number) {
    ring[number].status = -1;  // The bug: the ring may have been given back.
}

constexpr u32 BUG_LINE = __LINE__ - 3;

// Where no table is yet: somebody maps a page there, and a table is made of the free list's head.
vaddr_t page_without_table() {
    const vaddr_t region = g_kernel_virtual_manager->alloc(2 * LARGE_PAGE_SIZE);
    return vaddr_t{lib::up(region.value(), LARGE_PAGE_SIZE)};
}

}  // namespace

void run_pte_scribble(const options&) {
    driver_page ring;
    const vaddr_t place = page_without_table();
    const paddr_t frame = g_physical_manager->alloc();
    if (place.is_null() || frame.is_null() || ring.open() == outcome::failed) {
        return;
    }
    g_physical_manager->free(ring.frame);
    if (paging::map(paging::kernel_directory(), place, frame, page_flags::write) ==
        outcome::failed) {
        return;
    }
    auto* const descriptors = ring.page.as<descriptor>();
    g_seeded_fault.begin({fault_kind::page_entry_scribble, "pte_scribble", __FILE__, BUG_LINE,
                          reinterpret_cast<u64>(&finish)});
    g_seeded_fault.victim = vaddr_t{g_physical_manager->node_of(ring.frame)}.value();
    g_seeded_fault.address = vaddr_t{&descriptors[TRANSFER]}.value();
    g_seeded_fault.length = sizeof(descriptor);
    g_seeded_fault.keep_original();
    finish(descriptors, TRANSFER);
    g_seeded_fault.keep_written();
}

}  // namespace coronel
