#include "scenarios/chain.hpp"

#include "heap.hpp"
#include "routing.hpp"
#include "serial.hpp"

namespace coronel {

bool chain::add(u64 size) {
    auto* const added = static_cast<link*>(memory::kalloc(size));
    if (added == nullptr) {
        return false;
    }
    added->before = last_;
    last_ = added;
    ++count_;
    return true;
}

void chain::free_all() {
    while (last_ != nullptr) {
        link* const freed = last_;
        last_ = freed->before;
        memory::kfree(freed);
        --count_;
    }
}

void print_verdict(const char* scenario, u64 allocated) {
    const bool sound = g_kernel_heap->validate_heap();
    const bool all_back = g_kernel_heap->total_allocated() == allocated;
    serial::line(scenario, ": ", sound ? "the heap is sound" : "the heap is not sound",
                 all_back ? ", everything given back" : ", something is missing");
}

}  // namespace coronel
