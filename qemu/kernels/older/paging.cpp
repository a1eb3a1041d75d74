#include "paging.hpp"

#include "address_map.hpp"
#include "cpu.hpp"
#include "placement.hpp"

namespace paging {

constinit u64 kernel_directory_ = 0;

namespace {

constexpr u64 PRESENT = 1;
constexpr u64 WRITABLE = 1U << 1;
constexpr u64 USER = 1U << 2;
constexpr u64 NO_EXECUTE = u64{1} << 63;
constexpr u64 ADDRESS = 0x000ffffffffff000;
constexpr u64 ENTRIES = 512;

u64* table_at(u64 physical) { return linear(paddr_t{physical}).as<u64>(); }

u64 new_table() {
    void* const table = placement::allocate(PAGE_SIZE, PAGE_SIZE);
    return table == nullptr ? 0 : linear(vaddr_t{table}).value();
}

// The entry of the lowest level; null when there is no table for it.
u64* entry_of(vaddr_t page, bool make) {
    u64 table = kernel_directory_;
    for (u64 shift = 39; shift > 12; shift -= 9) {
        u64& entry = table_at(table)[(page.value() >> shift) % ENTRIES];
        if ((entry & PRESENT) == 0) {
            const u64 below = make ? new_table() : 0;
            if (below == 0) {
                return nullptr;
            }
            entry = below | PRESENT | WRITABLE | (page.is_lower_half() ? USER : 0);
        }
        table = entry & ADDRESS;
    }
    return &table_at(table)[(page.value() >> 12) % ENTRIES];
}

u64 rights_of_image(vaddr_t page) {
    if (page >= vaddr_t{_text_start} && page < vaddr_t{_text_end}) {
        return 0;
    }
    if (page >= vaddr_t{_rodata_start} && page < vaddr_t{_rodata_end}) {
        return NO_EXECUTE;
    }
    return WRITABLE | NO_EXECUTE;
}

}  // namespace

void initialize() {
    kernel_directory_ = new_table();
    for (paddr_t at = IMAGE_START; at < placement::LIMIT; at += PAGE_SIZE) {
        const vaddr_t page = linear(at);
        *entry_of(page, true) = at.value() | PRESENT | rights_of_image(page);
    }
    cpu::load_page_directory(paddr_t{kernel_directory_});
}

bool map(vaddr_t page, u64 frame, rights allowed) {
    u64* const entry = entry_of(page, true);
    if (entry == nullptr) {
        return false;
    }
    *entry = frame | PRESENT | static_cast<u64>(allowed);
    cpu::forget_page(page);
    return true;
}

u64 unmap(vaddr_t page) {
    u64* const entry = entry_of(page, false);
    if (entry == nullptr || (*entry & PRESENT) == 0) {
        return 0;
    }
    const u64 frame = *entry & ADDRESS;
    *entry = 0;
    cpu::forget_page(page);
    return frame;
}

}  // namespace paging
