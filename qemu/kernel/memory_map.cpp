#include "memory_map.hpp"

#include "address_map.hpp"
#include "cpu.hpp"
#include "serial.hpp"

namespace memory {

constinit memory_map g_memory_map;

namespace {

[[noreturn]] void give_up(lib::text why) {
    serial::line(why);
    cpu::stop();
}

// A structure of the boot loader where the early map shows it.
template <typename T>
const T* at(paddr_t address, u64 bytes) {
    if (address > EARLY_MAP_END || bytes > EARLY_MAP_END - address) {
        give_up("boot information beyond the early map");
    }
    return linear(address).as<const T>();
}

// Entry by entry over the boot loader's memory map (docs/spec.md 4.1).
class map_reader {
public:
    explicit map_reader(const multiboot_info& info)
        : next_{info.mmap_addr}, end_{paddr_t{info.mmap_addr} + info.mmap_length} {
        at<u8>(next_, end_ - next_);
    }

    // The next entry with a length and an end, or null.
    const multiboot_memory* next() {
        while (looked_at_ < MAX_ENTRIES && end_ - next_ >= sizeof(multiboot_memory)) {
            const auto* entry = linear(next_).as<const multiboot_memory>();
            const u64 bytes = sizeof entry->size + entry->size;
            if (bytes < sizeof(multiboot_memory) || bytes > end_ - next_) {
                return nullptr;
            }
            next_ += bytes;
            ++looked_at_;
            if (entry->length() != 0 && entry->base() + entry->length() > entry->base()) {
                return entry;
            }
        }
        return nullptr;
    }

private:
    static constexpr u64 MAX_ENTRIES = 64;

    paddr_t next_;
    paddr_t end_;
    u64 looked_at_ = 0;
};

range range_of(const multiboot_memory& entry) {
    return {paddr_t{entry.base()}, paddr_t{entry.base()} + entry.length()};
}

// The first part of `ram` that no entry of another type claims; `ram` keeps what lies behind it.
range take_unclaimed(range& ram, const multiboot_info& info) {
    range free = ram;
    bool moved = true;
    while (moved) {
        moved = false;
        map_reader entries{info};
        while (const multiboot_memory* entry = entries.next()) {
            const range claimed = range_of(*entry);
            if (entry->type == multiboot_memory::type_available || !claimed.overlaps(free)) {
                continue;
            }
            if (claimed.start <= free.start) {
                free = {claimed.end, ram.end};  // a new start: what was passed may overlap now
                moved = true;
            } else {
                free.end = claimed.start;
            }
        }
    }
    ram.start = free.end;
    return free;
}

}  // namespace

void memory_map::read(const multiboot_info* info) {
    ram_ = {};
    reserved_ = {};
    at<multiboot_info>(linear(vaddr_t{info}), sizeof *info);
    read_ram(*info);
    read_reserved(*info);
}

void memory_map::read_ram(const multiboot_info& info) {
    if (info.has(multiboot_info::has_memory_map)) {
        map_reader entries{info};
        while (const multiboot_memory* entry = entries.next()) {
            if (entry->type != multiboot_memory::type_available) {
                continue;
            }
            range left = range_of(*entry);
            while (!left.is_empty()) {
                add_ram(take_unclaimed(left, info));
            }
        }
    } else if (info.has(multiboot_info::has_memory_size)) {
        add_ram({IMAGE_START, IMAGE_START + u64{info.mem_upper} * 1024});
    } else {
        give_up("no memory information from the boot loader");
    }
}

void memory_map::add_ram(range ram) {
    const range pages = ram.inward();
    if (pages.is_empty()) {
        return;
    }
    // 64 entries give at most 64 regions: each begins where an entry begins or ends.
    ram_.add(pages);
}

void memory_map::read_reserved(const multiboot_info& info) {
    reserve(linear(vaddr_t{&info}), sizeof info);
    if (info.has(multiboot_info::has_command_line)) {
        reserve_text(info.cmdline);
    }
    if (info.has(multiboot_info::has_memory_map)) {
        reserve(paddr_t{info.mmap_addr}, info.mmap_length);
    }
    if (!info.has(multiboot_info::has_modules)) {
        return;
    }
    const u64 list_bytes = u64{info.mods_count} * sizeof(multiboot_module);
    const auto* modules = at<multiboot_module>(paddr_t{info.mods_addr}, list_bytes);
    reserve(paddr_t{info.mods_addr}, list_bytes);
    for (u64 index = 0; index < info.mods_count; ++index) {
        const multiboot_module& module = modules[index];
        if (module.start < module.end) {
            reserve(paddr_t{module.start}, module.end - module.start);
        }
        reserve_text(module.cmdline);
    }
}

void memory_map::reserve(paddr_t start, u64 bytes) {
    if (bytes == 0) {
        return;
    }
    if (reserved_.add(range{start, start + bytes}.outward()) == outcome::failed) {
        give_up("more than 32 reserved ranges from the boot loader");
    }
}

// Characters up to the terminating zero, which belongs to them. Address 0 means there are none.
void memory_map::reserve_text(u32 address) {
    if (address == 0) {
        return;
    }
    u64 length = 0;
    while (*at<char>(paddr_t{address} + length, 1) != 0) {
        ++length;
    }
    reserve(paddr_t{address}, length + 1);
}

bool memory_map::is_ram(paddr_t address) const {
    for (const range& region : ram_) {
        if (region.contains(address)) {
            return true;
        }
    }
    return false;
}

paddr_t memory_map::physical_end() const {
    return ram_.count() == 0 ? paddr_t{} : ram_[ram_.count() - 1].end;
}

paddr_t memory_map::image_ram_end() const {
    for (const range& region : ram_) {
        if (region.contains(IMAGE_START)) {
            return region.end;
        }
    }
    return IMAGE_START;
}

}  // namespace memory
