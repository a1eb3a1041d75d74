#include "scenarios/seeded_fault.hpp"

#include "address.hpp"
#include "lib/bytes.hpp"

constinit coronel::seeded_fault g_seeded_fault = {};

namespace coronel {

void seeded_fault::keep_original() {
    memcpy(original, vaddr_t{address}.as<u8>(), length < SHOWN ? length : SHOWN);
}

void seeded_fault::keep_written() {
    memcpy(written, vaddr_t{address}.as<u8>(), length < SHOWN ? length : SHOWN);
}

}  // namespace coronel
