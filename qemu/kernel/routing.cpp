#include "routing.hpp"

#include "address_map.hpp"
#include "heap.hpp"
#include "placement.hpp"
#include "trace.hpp"

namespace memory {

namespace {

bool is_placement(vaddr_t address) {
    return vaddr_t{_end} <= address && address < linear(placement_end());
}

}  // namespace

void* kalloc(u64 size) {
    coronel::traced_entrance entrance;
    if (g_kernel_heap == nullptr) {
        return placement_kalloc(size, nullptr, false);
    }
    return g_kernel_heap->malloc(size);
}

// The placement allocator never takes anything back. Before there is a heap, nothing else can
// have been handed out.
void kfree(void* pointer) {
    coronel::traced_entrance entrance;
    if (pointer == nullptr) {
        return;
    }
    const vaddr_t address{pointer};
    if (is_placement(address) || g_kernel_heap == nullptr) {
        return report(placement_errors_, "placement", error_kind::invalid_pointer, address.value());
    }
    g_kernel_heap->free(pointer);
}

}  // namespace memory
