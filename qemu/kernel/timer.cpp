#include "timer.hpp"

#include "cpu.hpp"

namespace {

// Counter 2 of the 8254, whose gate and output are bits of the system control port.
constexpr u16 COUNTER_2 = 0x42;
constexpr u16 CONTROL = 0x43;
constexpr u16 SYSTEM_CONTROL = 0x61;
constexpr u8 COUNTER_2_BOTH_BYTES_ONE_SHOT = 0xB0;
constexpr u8 GATE = 0x01;
constexpr u8 SPEAKER = 0x02;
constexpr u8 OUTPUT = 0x20;

constexpr u64 CLOCKS_PER_SECOND = 1193182;
constexpr u64 PERIODS_PER_SECOND = 20;
constexpr u64 CLOCKS = CLOCKS_PER_SECOND / PERIODS_PER_SECOND;
static_assert(CLOCKS <= 0xFFFF);

constinit u64 g_ticks_per_second = 0;

}  // namespace

namespace timer {

u64 ticks_per_second() {
    if (g_ticks_per_second != 0) {
        return g_ticks_per_second;
    }
    const u8 before = cpu::in8(SYSTEM_CONTROL) & static_cast<u8>(~(GATE | SPEAKER));
    cpu::out8(SYSTEM_CONTROL, before);
    cpu::out8(CONTROL, COUNTER_2_BOTH_BYTES_ONE_SHOT);
    cpu::out8(COUNTER_2, CLOCKS & 0xFF);
    cpu::out8(COUNTER_2, CLOCKS >> 8);
    cpu::out8(SYSTEM_CONTROL, before | GATE);
    const u64 start = ticks();
    while ((cpu::in8(SYSTEM_CONTROL) & OUTPUT) == 0) {
        cpu::pause();
    }
    g_ticks_per_second = (ticks() - start) * PERIODS_PER_SECOND;
    cpu::out8(SYSTEM_CONTROL, before);
    return g_ticks_per_second;
}

void wait_milliseconds(u64 milliseconds) {
    const u64 wanted = ticks_per_second() / 1000 * milliseconds;
    const u64 start = ticks();
    while (ticks() - start < wanted) {
        cpu::pause();
    }
}

}  // namespace timer
