#include "cpu.hpp"
#include "scenarios/scenario.hpp"
#include "selftests/results.hpp"

// The kernel tests itself and leaves QEMU with the verdict (docs/spec.md 16.1).
namespace coronel {

namespace {

// QEMU's isa-debug-exit: a value v written there ends QEMU with exit status 2v + 1.
constexpr u16 DEBUG_EXIT = 0xF4;
constexpr u32 SUCCESS = 0x10;
constexpr u32 FAILURE = 0x11;

}  // namespace

void run_selftest(const options&) {
    results all;
    test_library(all);
    test_memory_map(all);
    test_physical(all);
    test_virt(all);
    test_paging(all);
    test_heap(all);
    test_heap_damage(all);
    test_routing(all);
    all.print();
    cpu::out32(DEBUG_EXIT, all.has_failed() ? FAILURE : SUCCESS);
    cpu::stop();  // the device is not there
}

}  // namespace coronel
