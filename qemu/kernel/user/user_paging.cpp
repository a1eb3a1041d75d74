#include "paging.hpp"
#include "physical.hpp"
#include "window.hpp"

// The lower half of a directory: what belongs to a process (docs/spec.md 14.6, 15.2).

namespace {

constexpr vaddr_t LOWER_HALF_END{u64{1} << 47};

// How many entries of the PML4 are the lower half's.
constexpr u64 LOWER_HALF_ENTRIES = 256;

constexpr u64 span_of(table_level level) { return PAGE_SIZE << (9 * static_cast<u64>(level)); }

// From `page` on, the first address of the same table whose entry is present; behind the table
// when there is none.
vaddr_t skip_absent(page_table& table, table_level level, vaddr_t page) {
    const u64 span = span_of(level);
    do {
        if (table.at(level, page).is_present()) {
            return page;
        }
        page = vaddr_t{lib::down(page.value(), span)} + span;
    } while (page_table::index(level, page) != 0);
    return page;
}

}  // namespace

page_entry paging::look_up(paddr_t directory, vaddr_t page) {
    lib::spinlock_guard guard{lock_};
    if (!page.is_canonical()) {
        return {};
    }
    const paddr_t table = table_of(directory, page);
    if (table.is_null()) {
        return {};
    }
    window view{window::slot::walk, table};
    const page_entry entry = view.table().at(table_level::pt, page);
    return entry.is_present() ? entry : page_entry{};
}

vaddr_t paging::next_user_page(paddr_t directory, vaddr_t from) {
    lib::spinlock_guard guard{lock_};
    vaddr_t page = from;
    while (page < LOWER_HALF_END) {
        paddr_t table = directory;
        table_level level = table_level::pml4;
        for (;;) {
            window view{window::slot::walk, table};
            const vaddr_t found = skip_absent(view.table(), level, page);
            const bool absent = found != page && page_table::index(level, found) == 0;
            page = found;
            if (page >= LOWER_HALF_END) {
                return {};
            }
            if (absent) {
                break;  // this table has no more: from the top, behind it
            }
            const page_entry entry = view.table().at(level, page);
            if (level == table_level::pt) {
                return page;
            }
            if (entry.is_leaf(level)) {
                page += span_of(level);  // none of ours: user pages are small
                break;
            }
            table = entry.frame();
            level = below(level);
        }
    }
    return {};
}

void paging::destroy_user_page_directory(paddr_t directory) {
    lib::spinlock_guard guard{lock_};
    free_tables(directory, table_level::pml4);
}

// The tables below this one in ascending order, then this one.
void paging::free_tables(paddr_t table, table_level level) {
    if (level != table_level::pt) {
        window view{window::slot_of(level), table};
        const u64 entries = level == table_level::pml4 ? LOWER_HALF_ENTRIES : TABLE_ENTRIES;
        for (u64 index = 0; index < entries; ++index) {
            const page_entry entry = view.table().entries[index];
            if (entry.is_present() && !entry.is_leaf(level)) {
                free_tables(entry.frame(), below(level));
            }
        }
    }
    g_physical_manager->free(table);
}
