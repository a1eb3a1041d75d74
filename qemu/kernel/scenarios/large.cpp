#include "heap.hpp"
#include "routing.hpp"
#include "scenarios/chain.hpp"
#include "scenarios/scenario.hpp"
#include "serial.hpp"

// Ever larger blocks, to the limit of the heap: the largest there can be is found to the page.
namespace coronel {

namespace {

bool can_have(u64 size) {
    void* const block = memory::kalloc(size);
    memory::kfree(block);
    return block != nullptr;
}

}  // namespace

void run_large(const options&) {
    const u64 allocated = g_kernel_heap->total_allocated();
    u64 possible = PAGE_SIZE;
    while (can_have(2 * possible)) {
        possible *= 2;
    }
    for (u64 step = possible / 2; step >= PAGE_SIZE; step /= 2) {
        possible += can_have(possible + step) ? step : 0;
    }
    serial::line("large: the largest block has ", possible, " bytes");
    print_verdict("large", allocated);
}

}  // namespace coronel
