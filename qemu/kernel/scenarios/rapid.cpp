#include "heap.hpp"
#include "lib/random.hpp"
#include "routing.hpp"
#include "scenarios/chain.hpp"
#include "scenarios/scenario.hpp"

// Blocks that come and go at once, a few at a time.
namespace coronel {

namespace {

constexpr u64 AT_ONCE = 16;

}  // namespace

void run_rapid(const options& wanted) {
    lib::random random{wanted.seed};
    const u64 allocated = g_kernel_heap->total_allocated();
    for (u64 round = 0; round < wanted.ops; ++round) {
        void* blocks[AT_ONCE];
        for (void*& block : blocks) {
            block = memory::kalloc(1 + random.next() % 512);
        }
        // From one end or from the other: the neighbours join below or above.
        for (u64 index = 0; index < AT_ONCE; ++index) {
            memory::kfree(blocks[round % 2 == 0 ? index : AT_ONCE - 1 - index]);
        }
    }
    print_verdict("rapid", allocated);
}

}  // namespace coronel
