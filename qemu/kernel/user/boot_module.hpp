#pragma once

#include "address.hpp"
#include "lib/text.hpp"
#include "multiboot.hpp"

// A file the boot loader put into memory, with its command line (docs/spec.md 14.1).
struct boot_module {
    static constexpr u64 NAME_SIZE = 16;
    static constexpr u64 ARGUMENTS_SIZE = 128;

    paddr_t start;
    u64 bytes;
    char name[NAME_SIZE];            // of the file without its path, as much as fits
    char arguments[ARGUMENTS_SIZE];  // the rest of its command line, likewise
};

// All of them, copied: what says where they are is mapped only during boot. Their contents stay
// where they are, reserved for ever.
class boot_modules {
public:
    // While the early map is there.
    static void read(const multiboot_info& info);

    static u64 count() { return count_; }
    static const boot_module& at(u64 index) { return modules_[index]; }

private:
    // No more than there are reserved ranges (docs/spec.md 4.2).
    static constexpr u64 MAX_MODULES = 32;

    static boot_module modules_[MAX_MODULES];
    static u64 count_;
};
