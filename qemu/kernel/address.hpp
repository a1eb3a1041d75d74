#pragma once

#include <compare>

#include "lib/align.hpp"
#include "lib/integers.hpp"

inline constexpr u64 PAGE_SIZE = 4096;
inline constexpr u64 LARGE_PAGE_SIZE = 2 * 1024 * 1024;

// What both kinds of address can do. They are types of their own, so that one is never taken for
// the other or for a size. Records that a debugger reads (docs/spec.md 10) hold plain u64: the
// types live at the functions.
template <typename Self>
class address {
public:
    constexpr address() = default;
    constexpr explicit address(u64 value) : value_{value} {}

    constexpr u64 value() const { return value_; }
    constexpr bool is_null() const { return value_ == 0; }
    constexpr bool is_page_aligned() const { return lib::is_aligned(value_, PAGE_SIZE); }

    constexpr auto operator<=>(const address&) const = default;

    friend constexpr Self operator+(Self from, u64 bytes) { return Self{from.value_ + bytes}; }
    friend constexpr Self operator-(Self from, u64 bytes) { return Self{from.value_ - bytes}; }
    friend constexpr u64 operator-(Self to, Self from) { return to.value_ - from.value_; }
    constexpr Self& operator+=(u64 bytes) {
        value_ += bytes;
        return static_cast<Self&>(*this);
    }

private:
    u64 value_ = 0;
};

// A physical address. Null (0) is no frame: the first MiB is never managed (docs/spec.md 4.8).
class paddr_t : public address<paddr_t> {
public:
    using address::address;
};

// A virtual address.
class vaddr_t : public address<vaddr_t> {
public:
    using address::address;
    explicit vaddr_t(const volatile void* pointer) : address{reinterpret_cast<u64>(pointer)} {}

    template <typename T>
    T* as() const {
        return reinterpret_cast<T*>(value());
    }

    // SDM vol. 1, 3.3.7.1: bits 63 to 47 are all equal.
    constexpr bool is_canonical() const {
        const u64 top = value() >> 47;
        return top == 0 || top == 0x1FFFF;
    }
    constexpr bool is_lower_half() const { return value() >> 63 == 0; }
};

static_assert(sizeof(paddr_t) == 8 && sizeof(vaddr_t) == 8);
