#include "header_area.hpp"

#include "heap.hpp"
#include "probe.hpp"
#include "virt.hpp"

namespace memory {

header_area::header_area(u64 start, u64 end)
    : start_{start},
      end_{end},
      holes_{g_kernel_virtual_manager->has_free(vaddr_t{start}, end - start) ? holes::some
                                                                              : holes::none} {}

// An empty heap begins and ends at 0.
bool header_area::can_hold(vaddr_t address) const {
    if (!lib::is_aligned(address.value(), alignof(heap_block)) || address.value() < start_ ||
        end_ < sizeof(heap_block) || address.value() > end_ - sizeof(heap_block)) {
        return false;
    }
    if (holes_ == holes::some &&
        g_kernel_virtual_manager->has_free(address, sizeof(heap_block))) {
        return false;
    }
    return probe::is_readable(address) && probe::is_readable(address + (sizeof(heap_block) - 1));
}

}  // namespace memory
