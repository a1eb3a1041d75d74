#pragma once

#include "lib/integers.hpp"

// Time by the CPU's time-stamp counter (TSC).
namespace timer {

inline u64 ticks() {
    u32 low;
    u32 high;
    asm volatile("lfence; rdtsc" : "=a"(low), "=d"(high) : : "memory");
    return u64{high} << 32 | low;
}

// How many ticks a second has, by the interval timer (8254), which every PC has. Takes 50 ms.
u64 ticks_per_second();

// Does nothing for so long.
void wait_milliseconds(u64 milliseconds);

}  // namespace timer
