#include "user/boot_module.hpp"

#include "address_map.hpp"
#include "serial.hpp"

constinit boot_module boot_modules::modules_[MAX_MODULES] = {};
constinit u64 boot_modules::count_ = 0;

namespace {

// What fits, and a terminating zero.
template <u64 size>
void keep(char (&kept)[size], lib::text text) {
    u64 length = 0;
    while (length < text.length() && length < size - 1) {
        kept[length] = text[length];
        ++length;
    }
    kept[length] = 0;
}

lib::text without_path(lib::text file) {
    lib::text name;
    while (!file.is_empty()) {
        name = lib::take_piece(file, '/');
    }
    return name;
}

}  // namespace

void boot_modules::read(const multiboot_info& info) {
    count_ = 0;
    if (!info.has(multiboot_info::has_modules)) {
        return;
    }
    const auto* const listed = linear(paddr_t{info.mods_addr}).as<const multiboot_module>();
    for (u64 index = 0; index < info.mods_count; ++index) {
        if (count_ == MAX_MODULES) {
            return serial::line("more than ", MAX_MODULES, " modules");
        }
        const multiboot_module& entry = listed[index];
        boot_module& module = modules_[count_++];
        module.start = paddr_t{entry.start};
        module.bytes = entry.start < entry.end ? entry.end - entry.start : 0;
        lib::text rest;
        if (entry.cmdline != 0) {
            rest = lib::text{linear(paddr_t{entry.cmdline}).as<const char>()};
        }
        keep(module.name, without_path(lib::take_piece(rest, ' ')));
        keep(module.arguments, rest);
    }
}
