#include "heap.hpp"
#include "paging.hpp"
#include "physical.hpp"
#include "virt.hpp"

namespace memory {

namespace {

constexpr u64 MIN_EXPANSION = 64 * 1024;

}  // namespace

// Makes the list's last block a free one of at least `bytes` and gives it; null, with the reason
// reported, when there is no room (docs/spec.md 7.8).
heap_block* heap::expand(u64 bytes, heap_block* last) {
    // Find.
    const u64 needed = lib::up(bytes + sizeof(heap_block), PAGE_SIZE);
    const u64 region = needed < MIN_EXPANSION ? MIN_EXPANSION : needed;
    const vaddr_t base = g_kernel_virtual_manager->alloc(region);
    if (base.is_null()) {
        refuse(error_kind::virtual_space_exhausted, region);
        return nullptr;
    }
    if (map_region(base, region) == outcome::failed) {
        g_kernel_virtual_manager->free(base, region);
        refuse(error_kind::out_of_memory, region);
        return nullptr;
    }

    // Commit.
    const u64 end = (base + region).value();
    heap_start_ = heap_size_ == 0 || base.value() < heap_start_ ? base.value() : heap_start_;
    heap_end_ = end > heap_end_ ? end : heap_end_;
    heap_size_ += region;
    ++num_expansions_;
    if (last != nullptr && last->is_free == 1 && last->end() == base) {
        last->size += region;
        total_free_ += region;
        return last;
    }
    total_free_ += region - sizeof(heap_block);
    return write_free(base, region - sizeof(heap_block), last, nullptr);
}

// Frames behind every page of the region, or behind none.
outcome heap::map_region(vaddr_t base, u64 bytes) {
    for (u64 done = 0; done < bytes; done += PAGE_SIZE) {
        const paddr_t frame = g_physical_manager->alloc();
        if (!frame.is_null() && paging::map(paging::kernel_directory(), base + done, frame,
                                            page_flags::write) == outcome::done) {
            continue;
        }
        if (!frame.is_null()) {
            g_physical_manager->free(frame);
        }
        unmap_region(base, done);
        return outcome::failed;
    }
    return outcome::done;
}

// Last page first, so that the frames lie in the free list as they did.
void heap::unmap_region(vaddr_t base, u64 bytes) {
    for (u64 left = bytes; left > 0; left -= PAGE_SIZE) {
        const vaddr_t page = base + (left - PAGE_SIZE);
        g_physical_manager->free(paging::unmap(paging::kernel_directory(), page));
    }
}

}  // namespace memory
