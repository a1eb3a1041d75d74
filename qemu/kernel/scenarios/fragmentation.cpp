#include "heap.hpp"
#include "lib/random.hpp"
#include "routing.hpp"
#include "scenarios/chain.hpp"
#include "scenarios/scenario.hpp"
#include "serial.hpp"

// Every second block is freed, and what comes then fits into no hole; after that, into the holes.
namespace coronel {

namespace {

constexpr u64 BLOCKS = 512;
constexpr u64 SMALLEST = 64;
constexpr u64 LARGEST = 255;
constexpr u64 TOO_LARGE = 512;

constinit void* g_blocks[BLOCKS] = {};

void free_every_second() {
    for (u64 index = 0; index < BLOCKS; index += 2) {
        memory::kfree(g_blocks[index]);
        g_blocks[index] = nullptr;
    }
}

void fill(u64 size) {
    for (void*& block : g_blocks) {
        block = block == nullptr ? memory::kalloc(size) : block;
    }
}

}  // namespace

void run_fragmentation(const options& wanted) {
    lib::random random{wanted.seed};
    const u64 allocated = g_kernel_heap->total_allocated();
    for (void*& block : g_blocks) {
        block = memory::kalloc(SMALLEST + random.next() % (LARGEST - SMALLEST + 1));
    }
    free_every_second();
    fill(TOO_LARGE);
    free_every_second();
    fill(SMALLEST);
    serial::line("fragmentation: the heap is ",
                 g_kernel_heap->validate_heap() ? "sound" : "not sound", " while full of holes");
    for (void*& block : g_blocks) {
        memory::kfree(block);
        block = nullptr;
    }
    print_verdict("fragmentation", allocated);
}

}  // namespace coronel
