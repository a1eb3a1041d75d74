#include "physical.hpp"

#include <new>

#include "selftests/results.hpp"

using memory::error_kind;

namespace coronel {

namespace {

constexpr u64 FRAMES = 64;
constexpr u64 FIRST = 16;  // below it nothing is managed

// A manager of its own, of frames that nobody touches.
constinit physical g_manager;
constinit physical::frame g_nodes[FRAMES] = {};

physical& fresh() {
    for (physical::frame& node : g_nodes) {
        node = {0, nullptr};
    }
    physical* const manager = new (&g_manager) physical{};
    manager->adopt_nodes(g_nodes, paddr_t{FRAMES * PAGE_SIZE});
    manager->setup(paddr_t{FIRST * PAGE_SIZE}, (FRAMES - FIRST) * PAGE_SIZE);
    return *manager;
}

const char* gives_the_lowest_first() {
    physical& manager = fresh();
    for (u64 number = FIRST; number < FRAMES; ++number) {
        if (manager.alloc() != paddr_t{number * PAGE_SIZE}) {
            return "not in ascending order";
        }
    }
    return manager.free_count() == 0 ? nullptr : "free_count";
}

const char* is_a_stack() {
    physical& manager = fresh();
    const paddr_t first = manager.alloc();
    const paddr_t second = manager.alloc();
    manager.free(first);
    manager.free(second);
    return manager.alloc() == second && manager.alloc() == first ? nullptr
                                                                 : "not last in, first out";
}

const char* ends() {
    physical& manager = fresh();
    while (manager.free_count() > 0) {
        manager.alloc();
    }
    return manager.alloc().is_null() && manager.errors(error_kind::out_of_memory) == 1
               ? nullptr
               : "no end";
}

const char* refuses_bad_frames() {
    physical& manager = fresh();
    const paddr_t frame = manager.alloc();
    manager.free(frame + 8);
    manager.free(paddr_t{(FIRST - 1) * PAGE_SIZE});
    manager.free(paddr_t{FRAMES * PAGE_SIZE});
    if (manager.errors(error_kind::invalid_pointer) != 3) {
        return "invalid pointers";
    }
    manager.free(frame);
    manager.free(frame);
    if (manager.errors(error_kind::double_free) != 1) {
        return "double free";
    }
    return manager.free_count() == FRAMES - FIRST ? nullptr : "something changed";
}

const char* sees_a_bad_head() {
    physical& manager = fresh();
    const paddr_t next = manager.alloc() + PAGE_SIZE;
    physical::frame* const head = &g_nodes[next.value() / PAGE_SIZE];
    head->address += PAGE_SIZE;
    if (!manager.alloc().is_null() || manager.errors(error_kind::corruption_detected) != 1) {
        return "took a node that names another frame";
    }
    head->address -= PAGE_SIZE;
    return manager.alloc() == next ? nullptr : "something changed";
}

const char* has_room_for_32_ranges() {
    physical* const manager = new (&g_manager) physical{};
    manager->adopt_nodes(g_nodes, paddr_t{FRAMES * PAGE_SIZE});
    for (u64 number = 0; number <= MAX_MANAGED_RANGES; ++number) {
        manager->setup(paddr_t{(number + 1) * PAGE_SIZE}, PAGE_SIZE);
    }
    return manager->free_count() == MAX_MANAGED_RANGES ? nullptr : "the 33rd is not ignored";
}

}  // namespace

void test_physical(results& into) {
    into.run("physical gives the lowest frame first", gives_the_lowest_first);
    into.run("physical is last in, first out", is_a_stack);
    into.run("physical ends", ends);
    into.run("physical refuses bad frames", refuses_bad_frames);
    into.run("physical sees a bad head", sees_a_bad_head);
    into.run("physical has room for 32 ranges", has_room_for_32_ranges);
}

}  // namespace coronel
