#pragma once

#include "lib/integers.hpp"

// The parts of an ELF file that a static x86-64 program needs (System V ABI, chapters 4 and 5).

struct elf_header {
    static constexpr u32 magic_value = 0x464C457F;  // 0x7f, "ELF"
    static constexpr u8 class_64 = 2;
    static constexpr u8 little_endian = 1;
    static constexpr u16 type_executable = 2;
    static constexpr u16 machine_x86_64 = 62;

    u32 magic;
    u8 file_class;
    u8 data;
    u8 identification[10];
    u16 type;
    u16 machine;
    u32 version;
    u64 entry;
    u64 program_headers;  // offset in the file
    u64 section_headers;
    u32 flags;
    u16 header_size;
    u16 program_header_size;
    u16 program_header_count;
    u16 section_header_size;
    u16 section_header_count;
    u16 section_names;
};

static_assert(sizeof(elf_header) == 64);
static_assert(offsetof(elf_header, entry) == 24);

struct elf_program_header {
    static constexpr u32 type_load = 1;
    static constexpr u32 executable = 1;  // bits of `flags`
    static constexpr u32 writable = 2;
    static constexpr u32 readable = 4;

    u32 type;
    u32 flags;
    u64 offset;
    u64 address;
    u64 physical_address;
    u64 file_bytes;
    u64 memory_bytes;
    u64 alignment;
};

static_assert(sizeof(elf_program_header) == 56);
