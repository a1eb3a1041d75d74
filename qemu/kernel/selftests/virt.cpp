#include "virt.hpp"

#include <new>

#include "lib/bytes.hpp"
#include "selftests/results.hpp"

using memory::error_kind;

namespace coronel {

namespace {

constexpr vaddr_t START{0x100000};
constexpr u64 PAGES = 64;
constexpr u64 SPARE_NODES = PAGE_SIZE / sizeof(virt::node);

// A manager of its own, of addresses that nobody uses.
constinit virt g_manager;
alignas(PAGE_SIZE) constinit u8 g_nodes[PAGE_SIZE] = {};

virt& fresh() {
    memset(g_nodes, 0, sizeof g_nodes);
    virt* const manager = new (&g_manager) virt{};
    manager->add_nodes(vaddr_t{g_nodes});
    manager->setup(START, PAGES * PAGE_SIZE);
    return *manager;
}

vaddr_t page(u64 number) { return START + number * PAGE_SIZE; }

const char* takes_the_first_fit() {
    virt& manager = fresh();
    if (manager.alloc(1) != page(0) || manager.alloc(PAGE_SIZE + 1) != page(1) ||
        manager.alloc(PAGE_SIZE) != page(3)) {
        return "not from the front, or not rounded up";
    }
    manager.free(page(1), 2 * PAGE_SIZE);
    return manager.alloc(3 * PAGE_SIZE) == page(4) && manager.alloc(2 * PAGE_SIZE) == page(1)
               ? nullptr
               : "not the first that is large enough";
}

const char* cuts_where_it_is_told() {
    virt& manager = fresh();
    if (manager.alloc(page(10), 2 * PAGE_SIZE) != page(10)) {
        return "the middle";
    }
    if (!manager.alloc(page(11), PAGE_SIZE).is_null() ||
        !manager.alloc(page(9), 4 * PAGE_SIZE).is_null()) {
        return "gave what is not free";
    }
    return manager.alloc(page(0), 10 * PAGE_SIZE) == page(0) &&
                   manager.alloc(page(12), (PAGES - 12) * PAGE_SIZE) == page(12) &&
                   manager.alloc(1).is_null()
               ? nullptr
               : "the rest";
}

const char* joins_both_sides() {
    virt& manager = fresh();
    manager.alloc(PAGES * PAGE_SIZE);
    manager.free(page(1), PAGE_SIZE);
    manager.free(page(3), PAGE_SIZE);
    manager.free(page(2), PAGE_SIZE);
    return manager.alloc(3 * PAGE_SIZE) == page(1) ? nullptr : "three neighbours are not one";
}

const char* refuses_bad_regions() {
    virt& manager = fresh();
    manager.alloc(4 * PAGE_SIZE);
    manager.free(page(0), 0);
    manager.free(page(0) + 1, PAGE_SIZE);
    manager.free(START - PAGE_SIZE, PAGE_SIZE);
    manager.free(page(PAGES - 1), 2 * PAGE_SIZE);
    if (manager.errors(error_kind::invalid_pointer) != 4) {
        return "invalid pointers";
    }
    manager.free(page(3), 2 * PAGE_SIZE);
    if (manager.errors(error_kind::double_free) != 1) {
        return "an overlap";
    }
    manager.alloc(page(0) + 1, PAGE_SIZE);
    manager.alloc(page(8), 0);
    return manager.errors(error_kind::invalid_pointer) == 6 && manager.alloc(PAGE_SIZE) == page(4)
               ? nullptr
               : "something changed";
}

const char* ends() {
    virt& manager = fresh();
    if (!manager.alloc((PAGES + 1) * PAGE_SIZE).is_null() || !manager.alloc(~u64{0}).is_null() ||
        manager.errors(error_kind::virtual_space_exhausted) != 2) {
        return "gave more than there is";
    }
    return manager.alloc(u64{0}).is_null() && manager.errors(error_kind::invalid_pointer) == 0
               ? nullptr
               : "size 0 is an error";
}

const char* needs_a_node_to_cut_in_the_middle() {
    virt* const manager = new (&g_manager) virt{};
    memset(g_nodes, 0, sizeof g_nodes);
    manager->add_nodes(vaddr_t{g_nodes});
    manager->setup(START, 4 * SPARE_NODES * PAGE_SIZE);
    u64 cuts = 0;
    while (!manager->alloc(page(2 * cuts + 1), PAGE_SIZE).is_null()) {
        ++cuts;
    }
    return cuts == SPARE_NODES - 1 && manager->errors(error_kind::out_of_memory) == 1 &&
                   manager->alloc(PAGE_SIZE) == page(0)
               ? nullptr
               : "not out of memory after 127 cuts";
}

const char* knows_what_is_free() {
    virt& manager = fresh();
    manager.alloc(page(4), 4 * PAGE_SIZE);
    return manager.has_free(page(3), 1) && !manager.has_free(page(4), 4 * PAGE_SIZE) &&
                   manager.has_free(page(7), PAGE_SIZE + 1) && !manager.has_free(page(PAGES), 1)
               ? nullptr
               : "has_free";
}

}  // namespace

void test_virt(results& into) {
    into.run("virt takes the first fit", takes_the_first_fit);
    into.run("virt cuts where it is told", cuts_where_it_is_told);
    into.run("virt joins both sides", joins_both_sides);
    into.run("virt refuses bad regions", refuses_bad_regions);
    into.run("virt ends", ends);
    into.run("virt needs a node to cut in the middle", needs_a_node_to_cut_in_the_middle);
    into.run("virt knows what is free", knows_what_is_free);
}

}  // namespace coronel
