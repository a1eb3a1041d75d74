#pragma once

#include "lib/integers.hpp"

namespace lib {

// Rounding to a multiple of `step`, a power of two.

constexpr u64 down(u64 value, u64 step) { return value & ~(step - 1); }

// 0 when the result does not fit 64 bits: a value that is not 0 and rounds up to 0 has wrapped.
constexpr u64 up(u64 value, u64 step) { return down(value + (step - 1), step); }

constexpr bool is_aligned(u64 value, u64 step) { return (value & (step - 1)) == 0; }

constexpr bool is_power_of_two(u64 value) { return value != 0 && (value & (value - 1)) == 0; }

}  // namespace lib
