#pragma once

#include "lib/integers.hpp"

// What a page may be used for (docs/spec.md 5.2). Every page may be read.
enum class page_flags : u8 {
    read = 0,
    write = 1,
    user = 2,
    execute = 4,
    device = 8,
};

constexpr page_flags operator|(page_flags left, page_flags right) {
    return static_cast<page_flags>(static_cast<u8>(left) | static_cast<u8>(right));
}

constexpr bool has(page_flags flags, page_flags wanted) {
    return (static_cast<u8>(flags) & static_cast<u8>(wanted)) != 0;
}
