#pragma once

#include "lib/integers.hpp"

// Where a debugger stops: called after every scenario, with its number from 1 and its name
// (docs/spec.md 11.1). Does nothing. Defined in a file of its own, so that no caller sees as much.
extern "C" void coronel_checkpoint(u64 number, const char* name);
