#include "address_map.hpp"
#include "checkpoint.hpp"
#include "cpu.hpp"
#include "heap.hpp"
#include "options.hpp"
#include "paging.hpp"
#include "physical.hpp"
#include "placement.hpp"
#include "scenarios.hpp"
#include "serial.hpp"
#include "user_heap.hpp"
#include "virt.hpp"

// What boot.S calls, with the physical address of the multiboot information.
extern "C" {
void kernel_prepare(u64 info);
[[noreturn]] void kernel_main(u64 info);
}

namespace {

constexpr u64 VIRTUAL_START = 0xffffffff90000000;
constexpr u64 VIRTUAL_END = 0xffffffff98000000;
constexpr u64 USER_START = 0x8000000;
constexpr u64 USER_END = 0x10000000;
constexpr u64 FIRST_HEAP_BYTES = 16 * PAGE_SIZE;

template <typename T>
T* placed() {
    return static_cast<T*>(placement::allocate(sizeof(T), alignof(T)));
}

constinit u64 g_checkpoints = 0;

void checkpoint(const char* name) {
    serial::line("checkpoint ", name);
    coronel_checkpoint(++g_checkpoints, name);
}

void initialize(const multiboot_info& info) {
    placement::initialize();
    const u64 ram_end = lib::down(0x100000 + u64{info.mem_upper} * 1024, PAGE_SIZE);
    paging::initialize();
    g_physical_manager = placed<physical>();
    g_physical_manager->initialize(placement::LIMIT.value(), ram_end);
    g_kernel_virtual_manager = placed<virt>();
    g_kernel_virtual_manager->initialize(VIRTUAL_START, VIRTUAL_END);
}

void initialize_heaps() {
    auto* const heap = placed<memory::heap>();
    if (heap->initialize(FIRST_HEAP_BYTES)) {
        g_kernel_heap = heap;
    }
    g_user_heap = placed<memory::user_heap>();
    g_user_heap->initialize(USER_START, USER_END);
}

}  // namespace

void kernel_prepare(u64) { serial::initialize(); }

void kernel_main(u64 info) {
    const auto& multiboot = *linear(paddr_t{info}).as<const multiboot_info>();
    const options wanted = options::read(multiboot);
    initialize(multiboot);
    checkpoint("early");
    initialize_heaps();
    lib::text rest = wanted.scenarios;
    while (!rest.is_empty()) {
        const lib::text name = lib::take_piece(rest, ',');
        if (name == "load") {
            older::load(wanted.seed, wanted.ops);
            checkpoint("load");
        } else if (older::run_bug(name)) {
            checkpoint("bug");
        } else {
            serial::line("no scenario ", name);
        }
    }
    serial::line("done");
    cpu::stop();
}
