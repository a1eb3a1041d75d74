#include "lib/bytes.hpp"
#include "paging.hpp"
#include "physical.hpp"
#include "scenarios/scenario.hpp"
#include "scenarios/seeded_fault.hpp"
#include "serial.hpp"
#include "virt.hpp"

// A kernel page that programs may use: figures are to be published to all processes, and the page
// gets the user bit where the kernel sees it (docs/spec.md 11.4).
namespace coronel {

namespace {

struct figures {
    u64 free_frames;
    u64 page_size;
};

[[gnu::noinline]] void publish(vaddr_t page, paddr_t frame) {
    // The bug: processes see the kernel half of their space, the page is theirs to write.
    paging::map(paging::kernel_directory(), page, frame, page_flags::write | page_flags::user);
    *page.as<figures>() = {g_physical_manager->free_count(), PAGE_SIZE};
}

constexpr u32 g_line_of_map = __LINE__ - 4;

void announce(vaddr_t page) {
    g_seeded_fault = {};
    g_seeded_fault.kind = fault_kind::kernel_user_bit;
    g_seeded_fault.line = g_line_of_map;
    g_seeded_fault.address = page.value();
    g_seeded_fault.length = PAGE_SIZE;
    g_seeded_fault.file = __FILE__;
    g_seeded_fault.name = "kernel_user_bit";
    g_seeded_fault.caller = reinterpret_cast<u64>(&publish);
}

}  // namespace

// The kernel's tables above the leaf have no user bit: the CPU says no all the same.
void run_kernel_user_bit(const options&) {
    const vaddr_t page = g_kernel_virtual_manager->alloc(PAGE_SIZE);
    const paddr_t frame = g_physical_manager->alloc();
    if (page.is_null() || frame.is_null()) {
        return serial::line("kernel_user_bit: out of memory");
    }
    announce(page);
    publish(page, frame);
    const u64 entry = paging::look_up(paging::kernel_directory(), page).raw();
    memcpy(g_seeded_fault.written, &entry, sizeof entry);
}

}  // namespace coronel
