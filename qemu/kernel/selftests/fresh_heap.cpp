#include "selftests/fresh_heap.hpp"

#include <new>

namespace coronel {

namespace {

constinit memory::heap g_heap;

}  // namespace

memory::heap& fresh_heap() { return *new (&g_heap) memory::heap{}; }

}  // namespace coronel
