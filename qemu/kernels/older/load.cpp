#include "heap.hpp"
#include "lib/random.hpp"
#include "paging.hpp"
#include "physical.hpp"
#include "scenarios.hpp"
#include "user_heap.hpp"
#include "virt.hpp"

namespace {

constexpr u64 SLOTS = 64;
constexpr u64 MOST_KERNEL_BYTES = 3000;
constexpr u64 MOST_USER_BYTES = 600;
constexpr u64 MOST_PAGES = 6;

struct region {
    u64 start;
    u64 pages;
};

constinit void* g_blocks[SLOTS] = {};
constinit void* g_user_blocks[SLOTS] = {};
constinit region g_regions[SLOTS / 4] = {};

void fill(void* data, u64 bytes, u8 value) {
    for (u64 index = 0; index < bytes; ++index) {
        static_cast<u8*>(data)[index] = value;
    }
}

void kernel_step(lib::random& random) {
    void*& slot = g_blocks[random.next() % SLOTS];
    const u64 bytes = 1 + random.next() % MOST_KERNEL_BYTES;
    if (slot == nullptr) {
        slot = g_kernel_heap->malloc(bytes);
        fill(slot, slot == nullptr ? 0 : bytes, static_cast<u8>(bytes));
    } else if (random.next() % 8 == 0) {
        slot = g_kernel_heap->realloc(slot, bytes);
    } else {
        g_kernel_heap->free(slot);
        slot = nullptr;
    }
}

void user_step(lib::random& random) {
    void*& slot = g_user_blocks[random.next() % SLOTS];
    const u64 bytes = 1 + random.next() % MOST_USER_BYTES;
    if (slot == nullptr) {
        slot = g_user_heap->malloc(bytes);
        fill(slot, slot == nullptr ? 0 : bytes, static_cast<u8>(bytes));
    } else {
        g_user_heap->free(slot);
        slot = nullptr;
    }
}

// Regions with pages of their own, as drivers have them.
void region_step(lib::random& random) {
    region& slot = g_regions[random.next() % (SLOTS / 4)];
    if (slot.start != 0) {
        for (u64 page = 0; page < slot.pages; ++page) {
            g_physical_manager->free(paging::unmap(vaddr_t{slot.start + page * PAGE_SIZE}));
        }
        g_kernel_virtual_manager->free(slot.start, slot.pages * PAGE_SIZE);
        slot = {};
        return;
    }
    slot.pages = 1 + random.next() % MOST_PAGES;
    slot.start = g_kernel_virtual_manager->alloc(slot.pages * PAGE_SIZE);
    for (u64 page = 0; page < slot.pages; ++page) {
        paging::map(vaddr_t{slot.start + page * PAGE_SIZE}, g_physical_manager->alloc(),
                    paging::rights::kernel);
    }
}

}  // namespace

namespace older {

void load(u64 seed, u64 operations) {
    lib::random random{seed};
    for (u64 count = 0; count < operations; ++count) {
        const u64 kind = random.next() % 8;
        if (kind < 4) {
            kernel_step(random);
        } else if (kind < 7) {
            user_step(random);
        } else {
            region_step(random);
        }
    }
}

}  // namespace older
