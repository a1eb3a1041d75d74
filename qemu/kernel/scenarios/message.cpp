#include "scenarios/message.hpp"

namespace coronel {

void format_message(char* buffer, u64 number, const char* text) {
    *buffer++ = static_cast<char>('0' + number / 10 % 10);
    *buffer++ = static_cast<char>('0' + number % 10);
    *buffer++ = ':';
    *buffer++ = ' ';
    while (*text != 0) {
        *buffer++ = *text++;  // The bug: the text decides how much is written, not the buffer.
    }
}

constinit const char* const g_message_file = __FILE__;
constinit const u32 g_message_line = __LINE__ - 5;

}  // namespace coronel
