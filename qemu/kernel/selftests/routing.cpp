#include "routing.hpp"

#include "heap.hpp"
#include "placement.hpp"
#include "selftests/results.hpp"
#include "virt.hpp"

using memory::error_kind;

namespace coronel {

namespace {

u64 refused() { return memory::placement_errors_[static_cast<u32>(error_kind::invalid_pointer)]; }

const char* is_sealed() {
    const u64 before = __placement;
    return placement_kalloc(16, nullptr, false) == nullptr && __placement == before
               ? nullptr
               : "still gives memory";
}

const char* serves_from_the_heap() {
    const u64 before = g_kernel_heap->errors(error_kind::invalid_pointer);
    void* const data = memory::kalloc(100);
    memory::kfree(nullptr);
    memory::kfree(data);
    if (data == nullptr || g_kernel_heap->errors(error_kind::invalid_pointer) != before) {
        return "kalloc or kfree";
    }
    memory::kfree(data);
    return g_kernel_heap->errors(error_kind::double_free) == 1 && g_kernel_heap->validate_heap()
               ? nullptr
               : "the heap was not asked";
}

const char* refuses_placement_pointers() {
    const u64 before = refused();
    memory::kfree(g_kernel_heap);
    memory::kfree(g_kernel_virtual_manager);
    return refused() == before + 2 ? nullptr : "took one back";
}

}  // namespace

void test_routing(results& into) {
    into.run("placement is sealed", is_sealed);
    into.run("kalloc serves from the heap", serves_from_the_heap);
    into.run("kfree refuses placement pointers", refuses_placement_pointers);
}

}  // namespace coronel
