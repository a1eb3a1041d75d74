#include "paging.hpp"

#include "address_map.hpp"
#include "lib/bytes.hpp"
#include "memory_map.hpp"
#include "physical.hpp"
#include "trace.hpp"
#include "window.hpp"

using coronel::operation;
using coronel::traced_operation;
using memory::error_kind;

constinit u64 paging::kernel_directory_ = 0;
constinit u64 paging::next_device_ = DEVICE_BASE.value();
constinit u64 paging::errors_[memory::ERROR_KINDS] = {};
constinit lib::spinlock paging::lock_;
alignas(PAGE_SIZE) constinit page_table paging::window_table_ = {};

namespace {

// No processor has more physical address bits (SDM vol. 3A, 4.1.4).
constexpr paddr_t PHYSICAL_LIMIT{u64{1} << 52};

bool may_be_mapped(vaddr_t page) { return page.is_page_aligned() && page.is_canonical(); }

// Whether a table can lie there: a frame of RAM, and not the null one.
bool is_directory(paddr_t frame) {
    return frame.is_page_aligned() && !frame.is_null() && memory::g_memory_map.is_ram(frame);
}

}  // namespace

outcome paging::map(paddr_t directory, vaddr_t page, paddr_t frame, page_flags flags) {
    lib::spinlock_guard guard{lock_};
    traced_operation traced{operation::paging_map, directory, page, frame};

    // Check.
    if (!may_be_mapped(page) || !frame.is_page_aligned() || frame >= PHYSICAL_LIMIT) {
        refuse(error_kind::invalid_pointer, page.value());
        return outcome::failed;
    }
    if (!is_directory(directory)) {
        refuse(error_kind::invalid_pointer, directory.value());
        return outcome::failed;
    }

    // Find and commit.
    return traced.result(map_leaf(directory, page, frame, table_level::pt, flags));
}

paddr_t paging::unmap(paddr_t directory, vaddr_t page) {
    lib::spinlock_guard guard{lock_};
    traced_operation traced{operation::paging_unmap, directory, page};

    // Check.
    if (!may_be_mapped(page)) {
        refuse(error_kind::invalid_pointer, page.value());
        return {};
    }
    if (!is_directory(directory)) {
        refuse(error_kind::invalid_pointer, directory.value());
        return {};
    }

    // Find and commit.
    const page_entry cleared = clear_leaf(directory, page);
    if (!cleared.is_present()) {
        refuse(error_kind::invalid_pointer, page.value());
    }
    return traced.result(cleared.frame());
}

paddr_t paging::create_page_directory() {
    lib::spinlock_guard guard{lock_};
    return make_table();
}

paddr_t paging::create_user_page_directory() {
    lib::spinlock_guard guard{lock_};
    const paddr_t directory = make_table();
    if (directory.is_null()) {
        return {};
    }
    page_entry kernel_half;
    {
        window from{window::slot::walk, kernel_directory()};
        kernel_half = from.table().at(table_level::pml4, KERNEL_BASE);
    }
    window to{window::slot::walk, directory};
    to.table().at(table_level::pml4, KERNEL_BASE) = kernel_half;
    return directory;
}

vaddr_t paging::mapio(paddr_t device, u64 size) {
    lib::spinlock_guard guard{lock_};

    // Check.
    if (size == 0 || device > PHYSICAL_LIMIT || size > PHYSICAL_LIMIT - device) {
        refuse(error_kind::invalid_pointer, device.value());
        return {};
    }

    // Find.
    const paddr_t first{lib::down(device.value(), PAGE_SIZE)};
    const u64 bytes = lib::up(device - first + size, PAGE_SIZE);
    const vaddr_t place{next_device_};
    if (bytes == 0 || bytes > DEVICE_END - place) {
        refuse(error_kind::virtual_space_exhausted, device.value());
        return {};
    }

    // Commit, or undo.
    for (u64 done = 0; done < bytes; done += PAGE_SIZE) {
        if (map_leaf(kernel_directory(), place + done, first + done, table_level::pt,
                     page_flags::write | page_flags::device) == outcome::failed) {
            while (done > 0) {
                done -= PAGE_SIZE;
                clear_leaf(kernel_directory(), place + done);
            }
            return {};
        }
    }
    next_device_ += bytes;
    return place + (device - first);
}

// Walks down from the PML4 and makes the tables that are missing; they stay, whatever happens
// further down (docs/spec.md 5.3).
outcome paging::map_leaf(paddr_t directory, vaddr_t page, paddr_t frame, table_level leaf_level,
                         page_flags flags) {
    paddr_t table = directory;
    for (table_level level = table_level::pml4; level != leaf_level; level = below(level)) {
        window view{window::slot::walk, table};
        page_entry& entry = view.table().at(level, page);
        if (entry.is_leaf(level)) {
            refuse(error_kind::invalid_pointer, page.value());
            return outcome::failed;
        }
        if (!entry.is_present()) {
            const paddr_t fresh = make_table();
            if (fresh.is_null()) {
                return outcome::failed;
            }
            entry = page.is_lower_half() ? page_entry::user_table(fresh) : page_entry::table(fresh);
        }
        table = entry.frame();
    }

    window view{window::slot::walk, table};
    page_entry& entry = view.table().at(leaf_level, page);
    if (entry.is_present()) {
        refuse(error_kind::invalid_pointer, page.value());
        return outcome::failed;
    }
    entry = page_entry::leaf(leaf_level, frame, flags);
    return outcome::done;
}

// The table with the 4 KiB leaf of a page; null when the walk ends before there is one.
paddr_t paging::table_of(paddr_t directory, vaddr_t page) {
    paddr_t table = directory;
    for (table_level level = table_level::pml4; level != table_level::pt; level = below(level)) {
        window view{window::slot::walk, table};
        const page_entry entry = view.table().at(level, page);
        if (!entry.is_present() || entry.is_leaf(level)) {
            return {};
        }
        table = entry.frame();
    }
    return table;
}

// What the leaf was; not present when no 4 KiB page is mapped there. Tables stay (docs/spec.md
// 5.4).
page_entry paging::clear_leaf(paddr_t directory, vaddr_t page) {
    const paddr_t table = table_of(directory, page);
    if (table.is_null()) {
        return {};
    }
    window view{window::slot::walk, table};
    page_entry& entry = view.table().at(table_level::pt, page);
    const page_entry cleared = entry;
    entry = {};
    cpu::forget_page(page);
    return cleared;
}

// A zeroed table, or null.
paddr_t paging::make_table() {
    const paddr_t frame = g_physical_manager->alloc();
    if (frame.is_null()) {
        refuse(error_kind::out_of_memory, PAGE_SIZE);
        return {};
    }
    window view{window::slot::fresh, frame};
    memset(&view.table(), 0, PAGE_SIZE);
    return frame;
}

void paging::refuse(error_kind kind, u64 subject) {
    memory::report(errors_, "paging", kind, subject);
}
