#include "options.hpp"

#include "address_map.hpp"
#include "lib/bytes.hpp"

namespace {

constinit char g_scenarios[1024] = {};

// A value that is no decimal number, or too large, leaves `number` as it is.
void read_decimal(lib::text digits, u64& number) {
    u64 value = 0;
    for (u64 index = 0; index < digits.length(); ++index) {
        const char digit = digits[index];
        if (digit < '0' || digit > '9' || __builtin_mul_overflow(value, 10U, &value) ||
            __builtin_add_overflow(value, static_cast<u64>(digit - '0'), &value)) {
            return;
        }
    }
    number = digits.is_empty() ? number : value;
}

// The largest ring (docs/spec.md 12.2).
constexpr u64 MAX_TRACE = u64{1} << 20;

lib::text keep_scenarios(lib::text names) {
    const u64 length = names.length() < sizeof g_scenarios ? names.length() : sizeof g_scenarios;
    for (u64 index = 0; index < length; ++index) {
        g_scenarios[index] = names[index];
    }
    return {g_scenarios, length};
}

}  // namespace

options options::read(const multiboot_info& info) {
    options read{"boot", 1, 1000, 4096};
    if (!info.has(multiboot_info::has_command_line) || info.cmdline == 0) {
        return read;
    }
    lib::text rest{linear(paddr_t{info.cmdline}).as<const char>()};
    while (!rest.is_empty()) {
        const lib::text word = lib::take_piece(rest, ' ');
        const u64 name_end = word.find('=');
        if (name_end == word.length()) {
            continue;
        }
        const lib::text name = word.up_to(name_end);
        const lib::text value = word.from(name_end + 1);
        if (name == "scenario") {
            read.scenarios = keep_scenarios(value);
        } else if (name == "seed") {
            read_decimal(value, read.seed);
        } else if (name == "ops") {
            read_decimal(value, read.ops);
        } else if (name == "trace") {
            read_decimal(value, read.trace);
        }
    }
    read.trace = read.trace < MAX_TRACE ? read.trace : MAX_TRACE;
    return read;
}
