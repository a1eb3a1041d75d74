#pragma once

#include "lib/text.hpp"

namespace older {

// A healthy load of `operations`, by random numbers from `seed`.
void load(u64 seed, u64 operations);

// Runs the bug of that name, and notes in g_truth what it broke; false when there is no such bug.
bool run_bug(lib::text name);

}  // namespace older
