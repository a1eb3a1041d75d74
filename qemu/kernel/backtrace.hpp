#pragma once

#include "lib/integers.hpp"

namespace backtrace {

// A line for each frame of the chain that begins at `rbp`, as far as it lies on a stack of the
// kernel (docs/spec.md 13.2).
void print(u64 rbp);

}  // namespace backtrace
