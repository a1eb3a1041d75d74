#pragma once

#include "lib/text.hpp"
#include "multiboot.hpp"

// What the command line asks for (docs/spec.md 1.4).
struct options {
    lib::text scenarios;  // names with commas between them
    u64 seed;
    u64 ops;
    u64 trace;  // records in the ring (docs/spec.md 12.2)

    // The text is copied: the boot loader's memory does not stay mapped.
    static options read(const multiboot_info& info);
};
