#pragma once

#include "lib/outcome.hpp"

// The other CPU, which waits for somebody to start it (docs/spec.md 13.3).
namespace second_cpu {

using work = void (*)();

// Starts it: it does `todo` and stops. Fails when there is none, or no memory.
outcome start(work todo);

// Waits until it has done what it was started for.
void wait();

}  // namespace second_cpu
