#pragma once

#include "address.hpp"

// probe.S: 1 when the byte can be read; the page fault of one that cannot be ends here.
extern "C" u32 probe_byte(const void* address);

namespace probe {

// Whether a read of this byte finds memory. An address that comes out of damaged or foreign bytes is
// tried before it is believed: asking the page tables would take a walk through four windows.
inline bool is_readable(vaddr_t address) { return probe_byte(address.as<const void>()) != 0; }

}  // namespace probe
