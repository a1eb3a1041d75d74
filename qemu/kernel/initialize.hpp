#pragma once

#include "multiboot.hpp"

// The coordinator: boot, step by step (docs/spec.md 9).
namespace memory {

// Stops the kernel unless the image, its stack included, lies in RAM. Runs before either is used.
void require_ram_for_image(const multiboot_info* info);

// From the boot loader's memory map to a kernel heap. Stops the kernel when that cannot be.
void initialize_memory(multiboot_info* info);

}  // namespace memory
