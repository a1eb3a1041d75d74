#pragma once

#include "types.h"

// The kernel's own page tables, in pages of its allocator: the first GiB of physical memory at
// KERNEL_BASE, code and constants with their own rights, all else for data. Nothing below.
void kvm_enter(void);
