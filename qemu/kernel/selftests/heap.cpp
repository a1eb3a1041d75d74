#include "lib/bytes.hpp"
#include "scenarios/blocks.hpp"
#include "selftests/fresh_heap.hpp"
#include "selftests/results.hpp"

using memory::error_kind;
using memory::heap;

namespace coronel {

namespace {

const char* gives_nothing_for_nothing() {
    heap& tested = fresh_heap();
    return tested.malloc(0) == nullptr && tested.calloc(0, 8) == nullptr &&
                   tested.aligned_alloc(64, 0) == nullptr &&
                   tested.realloc(nullptr, 0) == nullptr && tested.validate_heap()
               ? nullptr
               : "size 0 gives something";
}

const char* rounds_up() {
    heap& tested = fresh_heap();
    for (u64 size = 1; size <= 64; ++size) {
        const void* const data = tested.malloc(size);
        if (vaddr_t{data}.value() % 16 != 0 || header_of(data)->size != lib::up(size, 16)) {
            return "alignment or size";
        }
    }
    return tested.validate_heap() ? nullptr : "the heap is not valid";
}

const char* takes_the_first_fit_and_splits_it() {
    heap& tested = fresh_heap();
    void* const hole = tested.malloc(256);
    tested.malloc(16);
    tested.free(hole);
    void* const front = tested.malloc(32);
    void* const rest = tested.malloc(128);
    if (front != hole || vaddr_t{rest} != vaddr_t{hole} + 32 + sizeof(memory::heap_block)) {
        return "not in the first hole";
    }
    // 48 bytes are left: a header and nothing behind it is no block.
    return header_of(rest)->size == 256 - 32 - sizeof(memory::heap_block) && tested.validate_heap()
               ? nullptr
               : "a rest of 48 bytes is split off";
}

const char* joins_neighbours() {
    heap& tested = fresh_heap();
    void* const first = tested.malloc(64);
    void* const middle = tested.malloc(64);
    void* const last = tested.malloc(64);
    tested.malloc(64);
    tested.free(first);
    tested.free(last);
    tested.free(middle);
    return tested.malloc(3 * 64 + 2 * sizeof(memory::heap_block)) == first && tested.validate_heap()
               ? nullptr
               : "three free blocks are not one";
}

const char* reallocates() {
    heap& tested = fresh_heap();
    u8* const grown = static_cast<u8*>(tested.malloc(64));
    memset(grown, 0x77, 64);
    if (tested.realloc(grown, 200) != grown) {
        return "does not grow in place";
    }
    tested.malloc(16);
    u8* const moved = static_cast<u8*>(tested.realloc(grown, 1000));
    if (moved == grown || moved[0] != 0x77 || moved[63] != 0x77) {
        return "does not move with its bytes";
    }
    if (tested.realloc(moved, 100) != moved || header_of(moved)->size != 112) {
        return "does not shrink in place";
    }
    return tested.realloc(moved, 0) == nullptr && header_of(moved)->is_free == 1 &&
                   tested.validate_heap()
               ? nullptr
               : "size 0 does not free";
}

const char* clears() {
    heap& tested = fresh_heap();
    u8* const dirty = static_cast<u8*>(tested.malloc(112));
    memset(dirty, 0xFF, 112);
    tested.free(dirty);
    const u8* const clean = static_cast<const u8*>(tested.calloc(25, 4));
    for (u64 index = 0; index < 112; ++index) {
        if (clean[index] != 0) {
            return "not all is zero";
        }
    }
    return tested.calloc(u64{1} << 40, u64{1} << 40) == nullptr &&
                   tested.errors(error_kind::out_of_memory) == 1
               ? nullptr
               : "a product that wraps";
}

const char* aligns() {
    heap& tested = fresh_heap();
    for (u64 alignment = 1; alignment <= 65536; alignment *= 2) {
        const vaddr_t data{tested.aligned_alloc(alignment, 40)};
        if (data.is_null() || data.value() % alignment != 0 || data.value() % 16 != 0) {
            return "not aligned";
        }
    }
    return tested.aligned_alloc(0, 8) == nullptr && tested.aligned_alloc(48, 8) == nullptr &&
                   tested.errors(error_kind::invalid_pointer) == 2 && tested.validate_heap()
               ? nullptr
               : "no power of two";
}

const char* expands() {
    heap& tested = fresh_heap();
    const void* const large = tested.malloc(200000);
    return large != nullptr && header_of(large)->size == 200000 && tested.validate_heap()
               ? nullptr
               : "no block larger than an expansion";
}

const char* has_limits() {
    heap& tested = fresh_heap();
    if (tested.malloc((u64{1} << 40) + 1) != nullptr || tested.malloc(~u64{0}) != nullptr ||
        tested.errors(error_kind::out_of_memory) != 2) {
        return "a size beyond all memory";
    }
    return tested.malloc(u64{1} << 31) == nullptr &&
                   tested.errors(error_kind::virtual_space_exhausted) == 1 && tested.validate_heap()
               ? nullptr
               : "a size beyond the address space";
}

}  // namespace

void test_heap(results& into) {
    into.run("heap gives nothing for nothing", gives_nothing_for_nothing);
    into.run("heap rounds up", rounds_up);
    into.run("heap takes the first fit and splits it", takes_the_first_fit_and_splits_it);
    into.run("heap joins neighbours", joins_neighbours);
    into.run("heap reallocates", reallocates);
    into.run("heap clears", clears);
    into.run("heap aligns", aligns);
    into.run("heap expands", expands);
    into.run("heap has limits", has_limits);
}

}  // namespace coronel
