#include "heap.hpp"
#include "lib/bytes.hpp"
#include "lib/random.hpp"
#include "routing.hpp"
#include "scenarios/scenario.hpp"

namespace coronel {

namespace {

constexpr u64 SLOTS = 256;

constinit void* g_slots[SLOTS] = {};

}  // namespace

// Allocations, frees and reallocations of many sizes in random order (docs/spec.md 11.3).
void run_mixed(const options& wanted) {
    lib::random random{wanted.seed};
    memset(g_slots, 0, sizeof g_slots);
    for (u64 done = 0; done < wanted.ops; ++done) {
        const u64 draw = random.next();
        const u64 index = draw % SLOTS;
        const u64 kind = (draw >> 32) % 8;
        void*& slot = g_slots[index];
        if (slot == nullptr) {
            const u64 size = 1 + random.next() % (kind == 0 ? 16384 : 1024);
            slot = memory::kalloc(size);
            if (slot != nullptr) {
                memset(slot, static_cast<int>(index), size);
            }
        } else if (kind == 0) {
            const u64 size = 1 + random.next() % 2048;
            void* const moved = g_kernel_heap->realloc(slot, size);
            slot = moved != nullptr ? moved : slot;
        } else {
            memory::kfree(slot);
            slot = nullptr;
        }
    }
}

}  // namespace coronel
