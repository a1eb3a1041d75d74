#include "heap.hpp"
#include "physical.hpp"
#include "scenarios/chain.hpp"
#include "scenarios/scenario.hpp"
#include "serial.hpp"

// Blocks until there is not one more, and then small ones until there is no room at all.
namespace coronel {

namespace {

constexpr u64 SIZE = 1024 * 1024;

}  // namespace

void run_out_of_memory(const options&) {
    const u64 allocated = g_kernel_heap->total_allocated();
    chain blocks;
    for (u64 size = SIZE; size >= PAGE_SIZE; size /= 2) {
        while (blocks.add(size)) {
        }
    }
    serial::line("out_of_memory: ", blocks.count(), " blocks, ", g_physical_manager->free_count(),
                 " frames free");
    blocks.free_all();
    print_verdict("out_of_memory", allocated);
    serial::line("out_of_memory: ", blocks.add(SIZE) ? "there is memory again" : "still no memory");
}

}  // namespace coronel
