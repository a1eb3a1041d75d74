#include "address_map.hpp"
#include "heap.hpp"
#include "scenarios/chain.hpp"
#include "scenarios/scenario.hpp"
#include "serial.hpp"
#include "virt.hpp"

// All regions are taken, by somebody who maps nothing there: the heap has frames and no addresses.
namespace coronel {

namespace {

constexpr u64 LARGEST = u64{1} << 30;
constexpr u64 MOST_REGIONS = 64;
constexpr u64 BLOCK_SIZE = 256 * 1024;

struct region {
    vaddr_t start;
    u64 size;
};

// Takes regions of half the size each time there is none; how many.
u64 take_everything(region (&taken)[MOST_REGIONS]) {
    u64 count = 0;
    for (u64 size = LARGEST; size >= PAGE_SIZE; size /= 2) {
        for (;;) {
            const vaddr_t start = g_kernel_virtual_manager->alloc(size);
            if (start.is_null() || count == MOST_REGIONS) {
                break;
            }
            taken[count++] = {start, size};
        }
    }
    return count;
}

}  // namespace

void run_virtual_exhausted(const options&) {
    const u64 allocated = g_kernel_heap->total_allocated();
    region taken[MOST_REGIONS];
    const u64 count = take_everything(taken);
    chain blocks;
    const bool refused = !blocks.add(BLOCK_SIZE);
    for (u64 index = 0; index < count; ++index) {
        g_kernel_virtual_manager->free(taken[index].start, taken[index].size);
    }
    const bool works = blocks.add(BLOCK_SIZE);
    serial::line("virtual_exhausted: ", count, " regions taken, ",
                 refused && works ? "the heap refused and works again" : "the heap did otherwise");
    blocks.free_all();
    print_verdict("virtual_exhausted", allocated);
}

}  // namespace coronel
