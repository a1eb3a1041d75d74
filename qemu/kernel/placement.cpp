#include "placement.hpp"

#include "address_map.hpp"
#include "lib/bytes.hpp"
#include "memory_map.hpp"
#include "trace.hpp"

constinit u64 __placement = 0;

namespace memory {

constinit u64 placement_errors_[ERROR_KINDS] = {};

namespace {

enum class state { closed, open, sealed };

constinit state g_state = state::closed;

// The placement area must be reachable through the early map, stay clear of the window at its
// upper end, and be RAM (docs/spec.md 3.3).
paddr_t limit() {
    const paddr_t ram_end = g_memory_map.image_ram_end();
    const paddr_t window = linear(WINDOW_BASE);
    return ram_end < window ? ram_end : window;
}

// The first place from `start` on that is aligned and clear of reserved ranges (docs/spec.md 3.2).
// They lie in ascending order, so that one pass will do.
paddr_t skip_reserved(paddr_t start, u64 size, u64 alignment) {
    paddr_t place{lib::up(start.value(), alignment)};
    for (const range& taken : g_memory_map.reserved()) {
        if (taken.overlaps({place, place + size})) {
            place = paddr_t{lib::up(taken.end.value(), alignment)};
        }
    }
    return place;
}

}  // namespace

void open_placement() {
    __placement = linear(vaddr_t{_end}).value();
    g_state = state::open;
}

void seal_placement() { g_state = state::sealed; }

paddr_t placement_end() { return paddr_t{lib::up(__placement, PAGE_SIZE)}; }

u64 placement_available() {
    const paddr_t next{__placement};
    return next < limit() ? limit() - next : 0;
}

}  // namespace memory

void* placement_kalloc(u64 size, paddr_t* phys, bool align) {
    coronel::traced_operation traced{coronel::operation::placement_kalloc, size};

    // Check.
    if (memory::g_state != memory::state::open || size == 0 ||
        size > memory::limit().value()) {  // from here on no sum wraps
        return nullptr;
    }

    // Find.
    const paddr_t place =
        memory::skip_reserved(paddr_t{__placement}, size, align ? PAGE_SIZE : 16);
    if (place + size > memory::limit()) {
        return nullptr;
    }

    // Commit.
    __placement = (place + size).value();
    if (phys != nullptr) {
        *phys = place;
    }
    return traced.result(memset(linear(place).as<void>(), 0, size));
}
