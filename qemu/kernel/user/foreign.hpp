#pragma once

#include "address.hpp"

// Physical memory that the kernel's address space does not show: frames of processes, modules of
// the boot loader. Seen through windows, page by page (docs/spec.md 5.1, 13.1).
namespace foreign {

void read(paddr_t from, void* to, u64 bytes);
void write(paddr_t to, const void* from, u64 bytes);
void fill(paddr_t start, u8 value, u64 bytes);
void copy(paddr_t to, paddr_t from, u64 bytes);

}  // namespace foreign
