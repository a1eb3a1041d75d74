#include "physical.hpp"

#include "serial.hpp"
#include "trace.hpp"

using coronel::operation;
using coronel::traced_operation;

constinit physical* g_physical_manager = nullptr;

void physical::adopt_nodes(frame* nodes, paddr_t end) {
    lib::spinlock_guard guard{lock_};
    nodes_ = nodes;
    physical_end_ = end.value();
    node_count_ = end.value() / PAGE_SIZE;
}

void physical::setup(paddr_t start, u64 length) {
    lib::spinlock_guard guard{lock_};

    // Check.
    if (range_count_ == MAX_MANAGED_RANGES) {
        serial::line("physical: no room for the range at ", serial::hex{start.value()});
        return;
    }

    // Commit.
    ranges_[range_count_++] = {start.value(), (start + length).value()};
    const u64 first = start.value() / PAGE_SIZE;
    for (u64 number = first + length / PAGE_SIZE; number > first; --number) {
        push(number - 1);
    }
}

paddr_t physical::alloc() {
    lib::spinlock_guard guard{lock_};
    traced_operation traced{operation::physical_alloc};

    // Check.
    frame* const head = free_list_;
    if (head == nullptr) {
        refuse(memory::error_kind::out_of_memory, PAGE_SIZE);
        return {};
    }
    if (!is_sound(head)) {
        refuse(memory::error_kind::corruption_detected, vaddr_t{head}.value());
        return {};
    }

    // Commit.
    const paddr_t address{head->address};
    free_list_ = head->previous;
    *head = {0, nullptr};
    --free_count_;
    return traced.result(address);
}

void physical::free(paddr_t address) {
    lib::spinlock_guard guard{lock_};
    traced_operation traced{operation::physical_free, address};

    // Check.
    if (!address.is_page_aligned() || !is_managed(address)) {
        return refuse(memory::error_kind::invalid_pointer, address.value());
    }
    const u64 number = address.value() / PAGE_SIZE;
    if (nodes_[number].address != 0) {
        return refuse(memory::error_kind::double_free, address.value());
    }

    // Commit.
    push(number);
}

bool physical::is_managed(paddr_t address) const {
    for (u64 index = 0; index < range_count_; ++index) {
        if (ranges_[index].start <= address.value() && address.value() < ranges_[index].end) {
            return true;
        }
    }
    return false;
}

// A head that is no node, or a node that names a frame it does not own, must not be followed; frame
// 0 is never free (docs/spec.md 4.6, 4.8). A pointer below nodes_ gives a huge distance.
bool physical::is_sound(const frame* node) const {
    const u64 distance = vaddr_t{node} - vaddr_t{nodes_};
    if (distance % sizeof(frame) != 0 || distance / sizeof(frame) >= node_count_) {
        return false;
    }
    return distance != 0 && node->address == distance / sizeof(frame) * PAGE_SIZE;
}

void physical::push(u64 number) {
    nodes_[number] = {number * PAGE_SIZE, free_list_};
    free_list_ = &nodes_[number];
    ++free_count_;
}

void physical::refuse(memory::error_kind kind, u64 subject) {
    memory::report(errors_, "physical", kind, subject);
}
