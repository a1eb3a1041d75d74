#include "address_map.hpp"
#include "cpu.hpp"
#include "paging.hpp"
#include "window.hpp"

// boot.S: the directory of the early map, which ends where the window is.
extern "C" page_table early_pd;

// The kernel address space of address_map.hpp, in the order of docs/spec.md 5.6.
outcome paging::create_kernel_directory(vaddr_t placement_end) {
    lib::spinlock_guard guard{lock_};

    // The tables are written through windows, which the early map does not know.
    early_pd.at(table_level::pd, WINDOW_BASE) = page_entry::table(linear(vaddr_t{&window_table_}));
    cpu::load_page_directory(cpu::page_directory());

    const paddr_t directory = make_table();
    if (directory.is_null()) {
        return outcome::failed;
    }
    kernel_directory_ = directory.value();

    struct {
        vaddr_t start;
        vaddr_t end;
        page_flags flags;
    } const parts[] = {
        {vaddr_t{_text_start}, vaddr_t{_text_end}, page_flags::execute},
        {vaddr_t{_rodata_start}, vaddr_t{_rodata_end}, page_flags::read},
        {vaddr_t{_data_start}, vaddr_t{_bss_end}, page_flags::write},
        {STACK_START, STACK_END, page_flags::write},
    };
    for (const auto& part : parts) {
        if (map_linear(part.start, part.end, part.flags) == outcome::failed) {
            return outcome::failed;
        }
    }
    if (map_placement(vaddr_t{_end}, placement_end) == outcome::failed) {
        return outcome::failed;
    }
    hook_window();
    cpu::load_page_directory(directory);
    return outcome::done;
}

outcome paging::map_linear(vaddr_t start, vaddr_t end, page_flags flags) {
    for (vaddr_t page = start; page < end; page += PAGE_SIZE) {
        if (map_leaf(kernel_directory(), page, linear(page), table_level::pt, flags) ==
            outcome::failed) {
            return outcome::failed;
        }
    }
    return outcome::done;
}

// In large pages where they fit. KERNEL_BASE is a multiple of their size: where the address is
// aligned, the physical one is too.
outcome paging::map_placement(vaddr_t start, vaddr_t end) {
    static_assert(lib::is_aligned(KERNEL_BASE.value(), LARGE_PAGE_SIZE));

    vaddr_t page = start;
    while (page < end) {
        const bool large =
            lib::is_aligned(page.value(), LARGE_PAGE_SIZE) && end - page >= LARGE_PAGE_SIZE;
        if (map_leaf(kernel_directory(), page, linear(page),
                     large ? table_level::pd : table_level::pt,
                     page_flags::write) == outcome::failed) {
            return outcome::failed;
        }
        page += large ? LARGE_PAGE_SIZE : PAGE_SIZE;
    }
    return outcome::done;
}

// The table above exists: the window lies in the same GiB as the image.
void paging::hook_window() {
    static_assert(page_table::index(table_level::pdpt, WINDOW_BASE) ==
                  page_table::index(table_level::pdpt, KERNEL_BASE));

    paddr_t table = kernel_directory();
    for (table_level level = table_level::pml4; level != table_level::pd; level = below(level)) {
        window view{window::slot::walk, table};
        table = view.table().at(level, WINDOW_BASE).frame();
    }
    window view{window::slot::walk, table};
    view.table().at(table_level::pd, WINDOW_BASE) =
        page_entry::table(linear(vaddr_t{&window_table_}));
}
