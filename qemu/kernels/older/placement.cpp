#include "placement.hpp"

#include "address_map.hpp"
#include "lib/bytes.hpp"

namespace placement {

constinit u64 next_ = 0;

void initialize() { next_ = linear(vaddr_t{_end}).value(); }

void* allocate(u64 bytes, u64 alignment) {
    const paddr_t place{lib::up(next_, alignment)};
    if (place + bytes > LIMIT) {
        return nullptr;
    }
    next_ = (place + bytes).value();
    return memset(linear(place).as<void>(), 0, bytes);
}

}  // namespace placement
