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

// One line of the log, put together from texts, numbers and hex numbers.
template <typename... Parts>
void line(Parts... parts) {
    begin_line();
    write("coronel: ");
    (write(parts), ...);
    write("\n");
}

}  // namespace serial
