#pragma once

#include "lib/integers.hpp"

// What a Multiboot 1 boot loader leaves in memory. Addresses are physical and below 4 GiB.

inline constexpr u32 MULTIBOOT_LOADER_MAGIC = 0x2BADB002;

struct multiboot_info {
    // Bits of `flags`: which of the fields below mean anything.
    enum : u32 {
        has_memory_size = 1U << 0,
        has_command_line = 1U << 2,
        has_modules = 1U << 3,
        has_memory_map = 1U << 6,
    };

    u32 flags;
    u32 mem_lower;  // KiB from 0
    u32 mem_upper;  // KiB from 1 MiB
    u32 boot_device;
    u32 cmdline;
    u32 mods_count;
    u32 mods_addr;
    u32 syms[4];
    u32 mmap_length;
    u32 mmap_addr;
    u32 drives_length;
    u32 drives_addr;
    u32 config_table;
    u32 boot_loader_name;
    u32 apm_table;
    u32 vbe_control_info;
    u32 vbe_mode_info;
    u16 vbe_mode;
    u16 vbe_interface_seg;
    u16 vbe_interface_off;
    u16 vbe_interface_len;

    bool has(u32 field) const { return (flags & field) != 0; }
};

static_assert(sizeof(multiboot_info) == 88);
static_assert(offsetof(multiboot_info, mmap_addr) == 48);

struct multiboot_module {
    u32 start;
    u32 end;
    u32 cmdline;
    u32 reserved;
};

static_assert(sizeof(multiboot_module) == 16);

// An entry of the memory map. The next one begins `size` bytes after the field `size`. The 64-bit
// values lie at odd multiples of 4, hence in halves.
struct multiboot_memory {
    static constexpr u32 type_available = 1;

    u32 size;
    u32 base_low;
    u32 base_high;
    u32 length_low;
    u32 length_high;
    u32 type;

    u64 base() const { return u64{base_high} << 32 | base_low; }
    u64 length() const { return u64{length_high} << 32 | length_low; }
};

static_assert(sizeof(multiboot_memory) == 24);
