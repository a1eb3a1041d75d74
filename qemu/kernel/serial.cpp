#include "serial.hpp"

#include "cpu.hpp"
#include "lib/spinlock.hpp"

namespace {

// The registers of the 16550 UART behind COM1.
constexpr u16 COM1 = 0x3F8;
constexpr u16 DATA = COM1;
constexpr u16 INTERRUPT_ENABLE = COM1 + 1;
constexpr u16 FIFO_CONTROL = COM1 + 2;
constexpr u16 LINE_CONTROL = COM1 + 3;
constexpr u16 MODEM_CONTROL = COM1 + 4;
constexpr u16 LINE_STATUS = COM1 + 5;
constexpr u16 DIVISOR_LOW = COM1;       // while DIVISOR_ACCESS is set
constexpr u16 DIVISOR_HIGH = COM1 + 1;  // likewise

constexpr u8 DIVISOR_ACCESS = 0x80;
constexpr u8 EIGHT_BITS_NO_PARITY_ONE_STOP = 0x03;
constexpr u8 FIFO_ON_AND_EMPTY = 0x07;
constexpr u8 TERMINAL_READY_REQUEST_TO_SEND = 0x03;
constexpr u8 TRANSMITTER_EMPTY = 0x20;

constinit char g_last = '\n';

constinit lib::spinlock g_lock;

// Far more than a line takes.
constexpr u64 MOST_TRIES = 1'000'000;

void write_digits(u64 value, u64 base) {
    char digits[20];
    u64 first = sizeof digits;
    do {
        digits[--first] = "0123456789abcdef"[value % base];
        value /= base;
    } while (value != 0);
    serial::write(lib::text{digits + first, sizeof digits - first});
}

}  // namespace

namespace serial {

void initialize() {
    cpu::out8(INTERRUPT_ENABLE, 0);
    cpu::out8(LINE_CONTROL, DIVISOR_ACCESS);
    cpu::out8(DIVISOR_LOW, 1);  // 115200 / 1
    cpu::out8(DIVISOR_HIGH, 0);
    cpu::out8(LINE_CONTROL, EIGHT_BITS_NO_PARITY_ONE_STOP);
    cpu::out8(FIFO_CONTROL, FIFO_ON_AND_EMPTY);
    cpu::out8(MODEM_CONTROL, TERMINAL_READY_REQUEST_TO_SEND);
}

void write(lib::text part) {
    for (u64 index = 0; index < part.length(); ++index) {
        while ((cpu::in8(LINE_STATUS) & TRANSMITTER_EMPTY) == 0) {
            cpu::pause();
        }
        cpu::out8(DATA, static_cast<u8>(part[index]));
        g_last = part[index];
    }
}

void write(const char* part) { write(lib::text{part}); }

line_guard::line_guard() : is_holder_{false} {
    for (u64 tries = 0; tries < MOST_TRIES && !is_holder_; ++tries) {
        is_holder_ = g_lock.try_acquire();
        cpu::pause();
    }
}

line_guard::~line_guard() {
    if (is_holder_) {
        g_lock.release();
    }
}

void begin_line() {
    if (g_last != '\n') {
        write("\n");
    }
}

void write(u64 part) { write_digits(part, 10); }

void write(hex part) {
    write("0x");
    write_digits(part.value, 16);
}

}  // namespace serial
