#include "window.hpp"

#include "address_map.hpp"
#include "cpu.hpp"

window::window(slot which, paddr_t frame)
    : index_{cpu::index() * SLOTS_PER_CPU + static_cast<u64>(which)},
      page_{WINDOW_BASE + index_ * PAGE_SIZE} {
    paging::window_table_.entries[index_] =
        page_entry::leaf(table_level::pt, frame, page_flags::write);
}

window::~window() {
    paging::window_table_.entries[index_] = {};
    cpu::forget_page(page_);
}
