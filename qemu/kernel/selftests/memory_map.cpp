#include "memory_map.hpp"

#include "address_map.hpp"
#include "selftests/results.hpp"

namespace coronel {

namespace {

// What a boot loader could leave in memory. It lies in the image, where physical and virtual
// addresses correspond.
struct synthetic {
    multiboot_info info;
    multiboot_memory entries[5];
    multiboot_module modules[2];
    char command_line[16];
};

constinit synthetic g_given = {};
constinit memory::memory_map g_read;

u32 physical_of(const void* pointer) { return static_cast<u32>(linear(vaddr_t{pointer}).value()); }

multiboot_memory entry(u64 base, u64 length, u32 type) {
    return {20,
            static_cast<u32>(base),
            static_cast<u32>(base >> 32),
            static_cast<u32>(length),
            static_cast<u32>(length >> 32),
            type};
}

void give_entries(u64 count) {
    g_given.info.flags = multiboot_info::has_memory_map;
    g_given.info.mmap_addr = physical_of(g_given.entries);
    g_given.info.mmap_length = static_cast<u32>(count * sizeof(multiboot_memory));
}

bool ram_is(u64 index, u64 start, u64 end) {
    return g_read.ram()[index].start == paddr_t{start} && g_read.ram()[index].end == paddr_t{end};
}

const char* sorts_and_rounds() {
    g_given = {};
    g_given.entries[0] = entry(0x100000000, 0x40000000, 1);
    g_given.entries[1] = entry(0x100000, 0x3ff00123, 1);
    g_given.entries[2] = entry(0x400, 0x9f800, 1);
    give_entries(3);
    g_read.read(&g_given.info);
    if (g_read.ram().count() != 3 || !ram_is(0, 0x1000, 0x9f000) ||
        !ram_is(1, 0x100000, 0x40000000) || !ram_is(2, 0x100000000, 0x140000000)) {
        return "the regions";
    }
    return g_read.physical_end() == paddr_t{0x140000000} &&
                   g_read.image_ram_end() == paddr_t{0x40000000}
               ? nullptr
               : "the ends";
}

const char* subtracts_other_types() {
    g_given = {};
    g_given.entries[0] = entry(0x100000, 0x1000000, 1);
    g_given.entries[1] = entry(0x500800, 0x1000, 2);  // in the middle, across a page boundary
    g_given.entries[2] = entry(0, 0x100800, 3);       // over the start
    give_entries(3);
    g_read.read(&g_given.info);
    return g_read.ram().count() == 2 && ram_is(0, 0x101000, 0x500000) &&
                   ram_is(1, 0x502000, 0x1100000)
               ? nullptr
               : "the regions";
}

const char* ignores_nonsense() {
    g_given = {};
    g_given.entries[0] = entry(0x100000, 0, 1);                       // empty
    g_given.entries[1] = entry(0xfffffffffff00000, 0x100000, 1);      // ends at 2^64
    g_given.entries[2] = entry(0x200000, 0xfff, 1);                   // no whole page
    g_given.entries[3] = entry(0x300000, 0x100000, 1);
    g_given.entries[4] = entry(0x800000, 0x100000, 1);
    g_given.entries[4].size = 19;  // too short: nothing behind it can be found
    give_entries(5);
    g_read.read(&g_given.info);
    return g_read.ram().count() == 1 && ram_is(0, 0x300000, 0x400000) ? nullptr : "the regions";
}

const char* falls_back_to_the_size() {
    g_given = {};
    g_given.info.flags = multiboot_info::has_memory_size;
    g_given.info.mem_upper = 31 * 1024 + 1;  // KiB: the last is no whole page
    g_read.read(&g_given.info);
    return g_read.ram().count() == 1 && ram_is(0, 0x100000, 0x2000000) ? nullptr : "the region";
}

const char* reserves_what_the_loader_left() {
    g_given = {};
    g_given.entries[0] = entry(0x100000, 0x7f00000, 1);
    give_entries(1);
    g_given.info.flags |= multiboot_info::has_command_line | multiboot_info::has_modules;
    g_given.info.cmdline = physical_of(g_given.command_line);
    g_given.info.mods_addr = physical_of(g_given.modules);
    g_given.info.mods_count = 2;
    g_given.modules[0] = {0x1000800, 0x1002001, 0, 0};
    g_given.modules[1] = {0x2000000, 0x2000000, 0, 0};  // empty
    g_read.read(&g_given.info);

    bool has_module = false;
    bool has_info = false;
    for (const memory::range& taken : g_read.reserved()) {
        has_module |= taken.start == paddr_t{0x1000000} && taken.end == paddr_t{0x1003000};
        has_info |= taken.contains(paddr_t{physical_of(&g_given.info)});
        if (taken.contains(paddr_t{0x2000000})) {
            return "an empty module is reserved";
        }
    }
    if (!has_module || !has_info) {
        return "module or information are not reserved";
    }
    u64 managed = 0;
    bool overlaps = false;
    g_read.visit_managed(paddr_t{0x500000}, [&](memory::range part) {
        managed += part.end - part.start;
        overlaps |= part.overlaps({paddr_t{0x1000000}, paddr_t{0x1003000}});
    });
    return !overlaps && managed == 0x8000000 - 0x500000 - 0x3000 ? nullptr : "the managed ranges";
}

}  // namespace

void test_memory_map(results& into) {
    into.run("memory map is sorted and rounded", sorts_and_rounds);
    into.run("memory map loses what other types claim", subtracts_other_types);
    into.run("memory map ignores nonsense", ignores_nonsense);
    into.run("memory map falls back to mem_upper", falls_back_to_the_size);
    into.run("memory map reserves what the loader left", reserves_what_the_loader_left);
}

}  // namespace coronel
