#include "scenarios/driver_page.hpp"

#include "paging.hpp"
#include "physical.hpp"
#include "virt.hpp"

namespace coronel {

outcome driver_page::open() {
    page = g_kernel_virtual_manager->alloc(PAGE_SIZE);
    if (page.is_null()) {
        return outcome::failed;
    }
    frame = g_physical_manager->alloc();
    if (!frame.is_null() && paging::map(paging::kernel_directory(), page, frame,
                                        page_flags::write) == outcome::done) {
        return outcome::done;
    }
    if (!frame.is_null()) {
        g_physical_manager->free(frame);
    }
    g_kernel_virtual_manager->free(page, PAGE_SIZE);
    return outcome::failed;
}

}  // namespace coronel
