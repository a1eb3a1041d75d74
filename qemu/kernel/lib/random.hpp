#pragma once

#include "lib/integers.hpp"

namespace lib {

// splitmix64: docs/spec.md 11.2.
class random {
public:
    constexpr explicit random(u64 seed) : state_{seed} {}

    constexpr u64 next() {
        state_ += 0x9E3779B97F4A7C15;
        u64 z = state_;
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
        return z ^ (z >> 31);
    }

private:
    u64 state_;
};

}  // namespace lib
