#include "address_map.hpp"
#include "lib/align.hpp"
#include "lib/bytes.hpp"
#include "lib/random.hpp"
#include "lib/text.hpp"
#include "options.hpp"
#include "range_set.hpp"
#include "selftests/results.hpp"

namespace coronel {

namespace {

const char* rounds() {
    const u64 top = ~u64{0};
    if (lib::up(0, 4096) != 0 || lib::up(1, 4096) != 4096 || lib::up(4096, 4096) != 4096) {
        return "up";
    }
    if (lib::up(top, 16) != 0) {
        return "a wrap is not 0";
    }
    return lib::down(4095, 4096) == 0 && lib::is_power_of_two(64) && !lib::is_power_of_two(0)
               ? nullptr
               : "down, or powers of two";
}

const char* cuts_texts() {
    lib::text rest{"scenario=a,b,,c"};
    const lib::text name = lib::take_piece(rest, '=');
    const lib::text first = lib::take_piece(rest, ',');
    lib::take_piece(rest, ',');
    const lib::text empty = lib::take_piece(rest, ',');
    if (name != "scenario" || first != "a" || !empty.is_empty() || rest != "c") {
        return "pieces";
    }
    return rest.find('x') == 1 && name.starts_with("scen") && !first.starts_with("ab")
               ? nullptr
               : "find or starts_with";
}

// The first two numbers for seed 1, from the algorithm's definition (docs/spec.md 11.2).
const char* draws_splitmix64() {
    lib::random random{1};
    return random.next() == 0x910a2dec89025cc1 && random.next() == 0xbeeb8da1658eec67
               ? nullptr
               : "other numbers";
}

const char* moves_bytes() {
    u8 bytes[32];
    for (u64 index = 0; index < sizeof bytes; ++index) {
        bytes[index] = static_cast<u8>(index);
    }
    memmove(bytes + 3, bytes, 20);  // overlapping, upwards, not aligned
    memmove(bytes, bytes + 3, 20);  // and back
    for (u64 index = 0; index < 20; ++index) {
        if (bytes[index] != index) {
            return "memmove";
        }
    }
    memset(bytes + 1, 0xAB, 17);
    return bytes[0] == 0 && bytes[1] == 0xAB && bytes[17] == 0xAB && bytes[18] != 0xAB &&
                   memcmp(bytes + 1, bytes + 2, 16) == 0 && memcmp(bytes, bytes + 1, 1) < 0
               ? nullptr
               : "memset or memcmp";
}

const char* merges_ranges() {
    memory::range_set<3> set;
    const auto add = [&set](u64 start, u64 end) {
        return set.add({paddr_t{start}, paddr_t{end}}) == outcome::done;
    };
    if (!add(0x5000, 0x6000) || !add(0x1000, 0x2000) || !add(0x8000, 0x9000)) {
        return "three do not fit";
    }
    if (add(0x3000, 0x4000)) {
        return "a fourth fits";
    }
    if (!add(0x2000, 0x5000) || set.count() != 2 || set[0].start != paddr_t{0x1000} ||
        set[0].end != paddr_t{0x6000}) {
        return "ranges that touch are not merged";
    }
    return add(0, 0x10000) && set.count() == 1 ? nullptr : "a range that covers all";
}

constinit char g_command_line[] =
    "kernel.elf seed=12 ops=99999999999999999999 seed=x trace=9999999 nonsense = ops=7 ops= "
    "scenario=mixed,,boot";

const char* reads_options() {
    multiboot_info info{};
    info.flags = multiboot_info::has_command_line;
    info.cmdline = static_cast<u32>(linear(vaddr_t{g_command_line}).value());
    const options read = options::read(info);
    if (read.seed != 12 || read.ops != 7) {
        return "a value that is none counts";
    }
    if (read.trace != u64{1} << 20) {
        return "the trace has no limit";
    }
    return read.scenarios == "mixed,,boot" ? nullptr : "the scenarios";
}

const char* knows_canonical_addresses() {
    return vaddr_t{0x00007fffffffffff}.is_canonical() &&
                   !vaddr_t{0x0000800000000000}.is_canonical() &&
                   vaddr_t{0xffff800000000000}.is_canonical() &&
                   !vaddr_t{0xffff7fffffffffff}.is_canonical()
               ? nullptr
               : "bit 47 decides";
}

}  // namespace

void test_library(results& into) {
    into.run("lib rounds", rounds);
    into.run("lib cuts texts", cuts_texts);
    into.run("lib draws splitmix64", draws_splitmix64);
    into.run("lib moves bytes", moves_bytes);
    into.run("lib merges ranges", merges_ranges);
    into.run("options are read", reads_options);
    into.run("addresses are canonical or not", knows_canonical_addresses);
}

}  // namespace coronel
