#pragma once

#include "heap.hpp"

namespace coronel {

// An empty heap beside the kernel's, on the same pages and frames. What the one before had stays
// lost: the kernel ends with its tests.
memory::heap& fresh_heap();

}  // namespace coronel
