#include "lib/random.hpp"
#include "physical.hpp"
#include "routing.hpp"
#include "scenarios/scenario.hpp"
#include "serial.hpp"
#include "user/process.hpp"

namespace coronel {

namespace {

constexpr u64 SLOTS = 64;
constexpr u64 MOST_PAGES = 16;

struct mapping {
    vaddr_t start;
    u64 bytes;
};

// Where there is room, or exactly where another mapping was.
mapping map_some(::memory::process_memory& space, vaddr_t earlier, u64 draw) {
    const u64 bytes = (1 + draw % MOST_PAGES) * PAGE_SIZE;
    const u64 protection = ::memory::process_memory::protection_read |
                           ((draw >> 8) % 2 != 0 ? ::memory::process_memory::protection_write : 0);
    const vaddr_t wanted = (draw >> 16) % 4 == 0 ? earlier : vaddr_t{};
    const vaddr_t start = space.mmap(wanted, bytes, protection);
    return {start, start.is_null() ? 0 : bytes};
}

// All of it, or its upper half only.
void unmap_some(::memory::process_memory& space, mapping& whole, u64 draw) {
    const u64 pages = whole.bytes / PAGE_SIZE;
    const u64 kept = (draw >> 16) % 2 == 0 ? 0 : pages / 2 * PAGE_SIZE;
    if (space.munmap(whole.start + kept, whole.bytes - kept) == outcome::done) {
        whole.bytes = kept;
    }
}

}  // namespace

// One address space in which regions come and go; what is left of them goes with it.
void run_mmap_churn(const options& wanted) {
    // The kernel heap keeps what it expands by: enough for the nodes of all holes.
    memory::kfree(memory::kalloc(16 * 1024));

    const u64 before = g_physical_manager->free_count();
    process* const owner = create_process("mmap_churn");
    if (owner == nullptr) {
        return serial::line("mmap_churn: out of memory");
    }
    lib::random random{wanted.seed};
    mapping slots[SLOTS] = {};
    for (u64 done = 0; done < wanted.ops; ++done) {
        const u64 draw = random.next();
        mapping& slot = slots[(draw >> 32) % SLOTS];
        if (slot.bytes == 0) {
            slot = map_some(owner->memory, slot.start, draw);
        } else {
            unmap_some(owner->memory, slot, draw);
        }
    }
    destroy_process(owner);
    serial::line("mmap_churn: ", before, " frames free before, ",
                 g_physical_manager->free_count(), " after");
}

}  // namespace coronel
