#include "address_map.hpp"
#include "heap.hpp"
#include "lib/bytes.hpp"
#include "memory_map.hpp"
#include "paging.hpp"
#include "physical.hpp"
#include "placement.hpp"
#include "routing.hpp"
#include "scenarios/mailbox.hpp"
#include "virt.hpp"

namespace coronel {

namespace {

// Whether bytes may be written there although they are nobody's: managers, nodes, regions; no image
// and no stack, and nothing that is not mapped.
bool is_writable(vaddr_t start, u64 bytes) {
    if (bytes == 0 || start < vaddr_t{_end} || start >= WINDOW_BASE ||
        bytes > WINDOW_BASE - start) {
        return false;
    }
    for (u64 page = lib::down(start.value(), PAGE_SIZE); page < start.value() + bytes;
         page += PAGE_SIZE) {
        const page_entry entry = paging::look_up(paging::kernel_directory(), vaddr_t{page});
        if (!entry.is_writable() || !memory::g_memory_map.is_ram(entry.frame())) {
            return false;
        }
    }
    return true;
}

u64 fill(vaddr_t start, u64 value, u64 bytes) {
    if (!is_writable(start, bytes)) {
        return 0;
    }
    memset(start.as<void>(), static_cast<u8>(value), bytes);
    return 1;
}

u64 store(vaddr_t start, u64 value, u64 bytes) {
    if (bytes > sizeof value || !is_writable(start, bytes)) {
        return 0;
    }
    memcpy(start.as<void>(), &value, bytes);
    return 1;
}

u64 result(const void* pointer) { return vaddr_t{pointer}.value(); }
u64 result(paddr_t address) { return address.value(); }
u64 result(vaddr_t address) { return address.value(); }
u64 result(outcome of) { return of == outcome::done ? 1 : 0; }

}  // namespace

u64 execute(order_code code, const u64 (&arguments)[ORDER_ARGUMENTS]) {
    const u64 first = arguments[0];
    const u64 second = arguments[1];
    void* const pointer = vaddr_t{first}.as<void>();
    switch (code) {
    case order_code::physical_alloc:
        return result(g_physical_manager->alloc());
    case order_code::physical_free:
        g_physical_manager->free(paddr_t{first});
        return 0;
    case order_code::virt_alloc:
        return result(g_kernel_virtual_manager->alloc(first));
    case order_code::virt_alloc_at:
        return result(g_kernel_virtual_manager->alloc(vaddr_t{first}, second));
    case order_code::virt_free:
        g_kernel_virtual_manager->free(vaddr_t{first}, second);
        return 0;
    case order_code::paging_map:
        return result(paging::map(paddr_t{first}, vaddr_t{second}, paddr_t{arguments[2]},
                                  static_cast<page_flags>(arguments[3] % 16)));
    case order_code::paging_unmap:
        return result(paging::unmap(paddr_t{first}, vaddr_t{second}));
    case order_code::heap_malloc:
        return result(g_kernel_heap->malloc(first));
    case order_code::heap_free:
        g_kernel_heap->free(pointer);
        return 0;
    case order_code::heap_realloc:
        return result(g_kernel_heap->realloc(pointer, second));
    case order_code::heap_calloc:
        return result(g_kernel_heap->calloc(first, second));
    case order_code::heap_aligned_alloc:
        return result(g_kernel_heap->aligned_alloc(first, second));
    case order_code::placement_kalloc:
        return result(placement_kalloc(first, nullptr, second != 0));
    case order_code::kalloc:
        return result(memory::kalloc(first));
    case order_code::kfree:
        memory::kfree(pointer);
        return 0;
    case order_code::validate_heap:
        return g_kernel_heap->validate_heap() ? 1 : 0;
    case order_code::create_page_directory:
        return result(paging::create_page_directory());
    case order_code::create_user_page_directory:
        return result(paging::create_user_page_directory());
    case order_code::mapio:
        return result(paging::mapio(paddr_t{first}, second));
    case order_code::fill:
        return fill(vaddr_t{first}, second, arguments[2]);
    case order_code::store:
        return store(vaddr_t{first}, second, arguments[2]);
    case order_code::process_create:
    case order_code::process_destroy:
    case order_code::sys_malloc:
    case order_code::sys_free:
    case order_code::sys_realloc:
    case order_code::sys_calloc:
    case order_code::sys_brk:
    case order_code::sys_mmap:
    case order_code::sys_munmap:
    case order_code::stack_growth:
    case order_code::user_store:
    case order_code::user_validate:
        return execute_for_process(code, arguments);
    }
    return 0;
}

}  // namespace coronel
