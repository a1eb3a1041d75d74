#pragma once

#include "errors.hpp"
#include "lib/outcome.hpp"
#include "lib/spinlock.hpp"
#include "page_table.hpp"

// 4-level paging (docs/spec.md 5). A directory is named by the physical address of its PML4.
class paging {
public:
    static outcome map(paddr_t directory, vaddr_t page, paddr_t frame, page_flags flags);

    // The frame that was mapped there, or null.
    static paddr_t unmap(paddr_t directory, vaddr_t page);

    // Maps nothing; or null.
    static paddr_t create_page_directory();

    // Shares the kernel's half and nothing else; or null.
    static paddr_t create_user_page_directory();

    // Where [device, device + size) can be used from now on; or null.
    static vaddr_t mapio(paddr_t device, u64 size);

    // Builds the address space of address_map.hpp and enters it.
    static outcome create_kernel_directory(vaddr_t placement_end);

    // user/user_paging.cpp: the entry behind this page; none when no 4 KiB page is mapped there.
    static page_entry look_up(paddr_t directory, vaddr_t page);

    // The lowest page mapped in the lower half from `from` on, or null.
    static vaddr_t next_user_page(paddr_t directory, vaddr_t from);

    // Gives back a user directory and its tables, in which nothing is mapped any more.
    static void destroy_user_page_directory(paddr_t directory);

    static paddr_t kernel_directory() { return paddr_t{kernel_directory_}; }

    // How many operations were refused for this reason.
    static u64 errors(memory::error_kind kind) { return errors_[static_cast<u32>(kind)]; }

private:
    friend class window;

    // Without lock and checks of arguments; what fails is counted here.
    static outcome map_leaf(paddr_t directory, vaddr_t page, paddr_t frame, table_level level,
                            page_flags flags);
    static paddr_t table_of(paddr_t directory, vaddr_t page);
    static page_entry clear_leaf(paddr_t directory, vaddr_t page);
    static paddr_t make_table();
    static void free_tables(paddr_t table, table_level level);
    static outcome map_linear(vaddr_t start, vaddr_t end, page_flags flags);
    static outcome map_placement(vaddr_t start, vaddr_t end);
    static void hook_window();
    static void refuse(memory::error_kind kind, u64 subject);

    static u64 kernel_directory_;
    static u64 next_device_;
    static u64 errors_[memory::ERROR_KINDS];
    static lib::spinlock lock_;

    // The page table of WINDOW_BASE: see window.hpp.
    static page_table window_table_;
};
