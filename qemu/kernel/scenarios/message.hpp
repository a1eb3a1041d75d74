#pragma once

#include "lib/integers.hpp"

namespace coronel {

// "NN: text" into `buffer`, without a terminating zero: a record of the message log.
void format_message(char* buffer, u64 number, const char* text);

// Characters in front of the text.
inline constexpr u64 MESSAGE_PREFIX = 4;

// The statement of format_message that does not know when to stop.
extern const char* const g_message_file;
extern const u32 g_message_line;

}  // namespace coronel
