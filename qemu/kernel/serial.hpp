#pragma once

#include "lib/integers.hpp"
#include "lib/text.hpp"

// The log: COM1, 115200 8N1, polled (docs/spec.md 1.3).
namespace serial {

struct hex {
    u64 value;
};

void initialize();

void write(const char* part);
void write(lib::text part);
void write(u64 part);  // decimal
void write(hex part);  // 0x and as many digits as it takes

// Ends a line that somebody else, a process, has begun.
void begin_line();

// The log for one scope: two CPUs do not write into each other's lines. Whoever waits for too long
// writes all the same, for the holder may have failed in the middle of a line.
class line_guard {
public:
    line_guard();
    ~line_guard();

    line_guard(const line_guard&) = delete;
    line_guard& operator=(const line_guard&) = delete;

private:
    bool is_holder_;
};

// One line of the log, put together from texts, numbers and hex numbers.
template <typename... Parts>
void line(Parts... parts) {
    line_guard guard;
    begin_line();
    write("coronel: ");
    (write(parts), ...);
    write("\n");
}

}  // namespace serial
