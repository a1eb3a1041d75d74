#pragma once

#include "multiboot.hpp"
#include "range_set.hpp"

namespace memory {

// What the boot loader says of physical memory, copied: its own structures lie where nothing is
// mapped later (docs/spec.md 4.1 to 4.3).
class memory_map {
public:
    // Stops the kernel when the boot loader gives nothing to go by.
    void read(const multiboot_info* info);

    // RAM regions and reserved ranges, each in ascending order.
    const auto& ram() const { return ram_; }
    const auto& reserved() const { return reserved_; }

    bool is_ram(paddr_t address) const;

    // The end of the highest RAM region.
    paddr_t physical_end() const;

    // The end of the RAM region that holds the image, or the image's start when none does.
    paddr_t image_ram_end() const;

    // Calls `visit(range)` for RAM from `start` on that is not reserved, in descending order.
    template <typename Visitor>
    void visit_managed(paddr_t start, Visitor visit) const {
        for (u64 index = ram_.count(); index > 0; --index) {
            visit_unreserved({start < ram_[index - 1].start ? ram_[index - 1].start : start,
                              ram_[index - 1].end},
                             visit);
        }
    }

private:
    void read_ram(const multiboot_info& info);
    void read_reserved(const multiboot_info& info);
    void add_ram(range ram);
    void reserve(paddr_t start, u64 bytes);
    void reserve_text(u32 address);

    template <typename Visitor>
    void visit_unreserved(range left, Visitor visit) const {
        for (u64 index = reserved_.count(); index > 0; --index) {
            const range& taken = reserved_[index - 1];
            if (!left.overlaps(taken)) {
                continue;
            }
            if (taken.end < left.end) {
                visit(range{taken.end, left.end});
            }
            left.end = taken.start;
        }
        if (!left.is_empty()) {
            visit(left);
        }
    }

    range_set<64> ram_;
    range_set<32> reserved_;
};

extern memory_map g_memory_map;

}  // namespace memory
