#include "initialize.hpp"

#include <new>

#include "address_map.hpp"
#include "cpu.hpp"
#include "heap.hpp"
#include "memory_map.hpp"
#include "options.hpp"
#include "paging.hpp"
#include "physical.hpp"
#include "placement.hpp"
#include "serial.hpp"
#include "trace.hpp"
#include "virt.hpp"

namespace memory {

namespace {

enum class alignment { sixteen, page };

[[noreturn]] void out_of_memory(u64 needed, u64 available) {
    serial::line("out of memory at boot: ", needed, " bytes needed, ",
                 available, " available");
    cpu::stop();
}

void* place(u64 bytes, alignment where) {
    void* const memory = placement_kalloc(bytes, nullptr, where == alignment::page);
    if (memory == nullptr) {
        out_of_memory(bytes, placement_available());
    }
    return memory;
}

// Memory for an object and the object in it, all zero.
template <typename T>
T* create() {
    return new (place(sizeof(T), alignment::sixteen)) T{};
}

// The ring of the trace, or null when the command line wants none.
coronel::trace_record* place_ring(u64 capacity) {
    return capacity == 0 ? nullptr
                         : static_cast<coronel::trace_record*>(place(
                               capacity * sizeof(coronel::trace_record), alignment::page));
}

}  // namespace

void require_ram_for_image(const multiboot_info* info) {
    g_memory_map.read(info);
    const paddr_t ram_end = g_memory_map.image_ram_end();
    const paddr_t image_end = linear(vaddr_t{_end});
    if (ram_end < image_end) {
        out_of_memory(image_end - IMAGE_START, ram_end - IMAGE_START);
    }
}

void initialize_memory(multiboot_info* info) {
    // 1, 2: what there is, and the first allocator.
    g_memory_map.read(info);
    open_placement();

    // 3 to 5: the managers. The heap's pointer waits until there is something behind it.
    g_physical_manager = create<physical>();
    g_kernel_virtual_manager = create<virt>();
    heap* const kernel_heap = create<heap>();

    // 5a: room for what they will have done.
    const u64 trace_capacity = options::read(*info).trace;
    coronel::trace_record* const ring = place_ring(trace_capacity);

    // 6, 7: what they need before they can serve themselves.
    g_kernel_virtual_manager->add_nodes(vaddr_t{place(PAGE_SIZE, alignment::page)});
    const paddr_t physical_end = g_memory_map.physical_end();
    void* const nodes =
        place(physical_end.value() / PAGE_SIZE * sizeof(physical::frame), alignment::page);
    g_physical_manager->adopt_nodes(static_cast<physical::frame*>(nodes), physical_end);
    seal_placement();

    // 8: all RAM that is nobody's, from above, so that the lowest frame is the first to go.
    g_memory_map.visit_managed(placement_end(), [](range managed) {
        g_physical_manager->setup(managed.start, managed.end - managed.start);
    });

    // 9, 10: the kernel's address space, and what of it is free.
    if (paging::create_kernel_directory(linear(placement_end())) == outcome::failed) {
        out_of_memory(PAGE_SIZE, 0);
    }
    const vaddr_t first_region{lib::up(linear(placement_end()).value(), LARGE_PAGE_SIZE)};
    g_kernel_virtual_manager->setup(first_region, WINDOW_BASE - first_region);

    // 11: from here on kalloc means the heap.
    g_kernel_heap = kernel_heap;
    g_trace.start(ring, trace_capacity);
    serial::line("ready, ", g_physical_manager->free_count(), " frames free");
}

}  // namespace memory
