#pragma once

#include "address.hpp"
#include "lib/outcome.hpp"

namespace coronel {

// A page of memory that a driver has mapped for itself.
struct driver_page {
    vaddr_t page;
    paddr_t frame;

    // Fails, with nothing taken, when there is no memory.
    outcome open();
};

}  // namespace coronel
