#include "physical.hpp"
#include "scenarios/blocks.hpp"
#include "selftests/fresh_heap.hpp"
#include "selftests/results.hpp"
#include "virt.hpp"

using memory::error_kind;
using memory::heap;
using memory::heap_block;

namespace coronel {

namespace {

const char* refuses_bad_pointers() {
    heap& tested = fresh_heap();
    tested.free(&tested);
    if (tested.errors(error_kind::invalid_pointer) != 1) {
        return "the heap is empty";
    }
    u8* const data = static_cast<u8*>(tested.calloc(1, 256));
    tested.free(data + 8);
    tested.free(data + 64);
    tested.free(&tested);
    tested.free(vaddr_t{16}.as<void>());
    if (tested.errors(error_kind::invalid_pointer) != 5) {
        return "invalid pointers";
    }
    tested.free(data);
    tested.free(data);
    if (tested.errors(error_kind::double_free) != 1 || tested.realloc(data, 8) != nullptr ||
        tested.errors(error_kind::double_free) != 2) {
        return "double free";
    }
    return tested.validate_heap() ? nullptr : "something changed";
}

const char* refuses_a_forged_block() {
    heap& tested = fresh_heap();
    u64* const data = static_cast<u64*>(tested.calloc(1, 256));
    heap_block* const forged = (vaddr_t{data} + 64).as<heap_block>();
    *forged = *header_of(data);
    forged->size = 64;
    tested.free(forged->data().as<void>());
    return tested.errors(error_kind::corruption_detected) == 1 && tested.validate_heap()
               ? nullptr
               : "freed what looks like a block";
}

const char* detects_a_bad_header() {
    heap& tested = fresh_heap();
    void* const data = tested.malloc(64);
    void* const behind = tested.malloc(64);
    heap_block* const block = header_of(data);
    const heap_block good = *block;
    heap_block bad[] = {good, good, good};
    bad[0].magic ^= 1;
    bad[1].size += 8;
    bad[2].is_free = 1;
    for (const heap_block& damaged : bad) {
        *block = damaged;
        tested.free(data);
        if (tested.malloc(16) != nullptr) {
            return "malloc passes a damaged header";
        }
    }
    *block = good;
    block->next = nullptr;
    tested.free(behind);  // not linked
    *block = good;
    return tested.errors(error_kind::corruption_detected) == 2 * 3 + 1 && tested.validate_heap()
               ? nullptr
               : "free passes a damaged header";
}

// docs/spec.md 7.3a: the block behind the one that is written to must be the one that is there.
const char* follows_before_it_writes() {
    heap& tested = fresh_heap();
    void* const first = tested.malloc(64);
    void* const second = tested.malloc(64);
    void* const third = tested.malloc(64);
    tested.malloc(64);
    tested.free(second);
    header_of(third)->prev = nullptr;  // now the free block is not followed well
    const heap_block before = *header_of(second);
    if (tested.malloc(64) != nullptr || tested.realloc(first, 100) != nullptr ||
        tested.realloc(first, 4000) != nullptr) {
        return "took or absorbed the block";
    }
    tested.free(first);
    if (tested.errors(error_kind::corruption_detected) != 4 || header_of(first)->is_free != 0 ||
        header_of(second)->size != before.size || header_of(second)->is_free != 1) {
        return "something changed";
    }
    header_of(third)->prev = header_of(second);
    return tested.validate_heap() && tested.malloc(64) == second ? nullptr : "does not heal";
}

// docs/spec.md 7.3: no header is looked at where nothing is mapped.
const char* stays_out_of_holes() {
    heap& tested = fresh_heap();
    constexpr u64 hole_bytes = 16 * PAGE_SIZE;
    void* const low = tested.malloc(65536 - sizeof(heap_block));
    const vaddr_t hole = g_kernel_virtual_manager->alloc(hole_bytes);
    void* const high = tested.malloc(65536 - sizeof(heap_block));
    if (hole < vaddr_t{low} || vaddr_t{high} < hole) {
        return "no hole could be made";
    }
    g_kernel_virtual_manager->free(hole, hole_bytes);
    header_of(low)->next = (hole + PAGE_SIZE).as<heap_block>();
    const bool refused = tested.malloc(64) == nullptr;
    header_of(low)->next = header_of(high);
    tested.free((hole + PAGE_SIZE + sizeof(heap_block)).as<void>());
    return refused && tested.errors(error_kind::corruption_detected) == 1 &&
                   tested.errors(error_kind::invalid_pointer) == 1 && tested.validate_heap()
               ? nullptr
               : "looked into a hole, or did not refuse";
}

const char* ends_in_a_cycle() {
    heap& tested = fresh_heap();
    void* const first = tested.malloc(64);
    void* const second = tested.malloc(64);
    header_of(second)->next = header_of(first);
    if (tested.malloc(64) != nullptr || tested.validate_heap()) {
        return "a cycle passes";
    }
    header_of(second)->magic = 0;
    tested.free(second);  // looks for the block along the list
    return tested.errors(error_kind::corruption_detected) == 2 ? nullptr : "the errors";
}

const char* gives_back_what_an_expansion_took() {
    heap& tested = fresh_heap();
    tested.malloc(16);
    const u64 before = g_physical_manager->free_count();
    const u64 too_much = (before + 1) * PAGE_SIZE;
    if (tested.malloc(too_much) != nullptr || tested.errors(error_kind::out_of_memory) != 1) {
        return "gave more than there is";
    }
    // The tables of the pages stay (docs/spec.md 5.3).
    const u64 tables = too_much / LARGE_PAGE_SIZE + 2;
    return g_physical_manager->free_count() + tables >= before && tested.validate_heap()
               ? nullptr
               : "frames are lost";
}

const char* sees_a_write_into_free_memory() {
    heap& tested = fresh_heap();
    u64* const data = static_cast<u64*>(tested.malloc(64));
    tested.malloc(64);
    tested.free(data);
    data[4] = 0x1234;
    return tested.validate_heap() ? "the heap is valid all the same" : nullptr;
}

}  // namespace

void test_heap_damage(results& into) {
    into.run("heap refuses bad pointers", refuses_bad_pointers);
    into.run("heap refuses a forged block", refuses_a_forged_block);
    into.run("heap detects a bad header", detects_a_bad_header);
    into.run("heap follows before it writes", follows_before_it_writes);
    into.run("heap stays out of holes", stays_out_of_holes);
    into.run("heap ends in a cycle", ends_in_a_cycle);
    into.run("heap gives back what an expansion took", gives_back_what_an_expansion_took);
    into.expect_failure("heap sees a write into free memory", sees_a_write_into_free_memory,
                        "free memory has no pattern to compare with");
}

}  // namespace coronel
