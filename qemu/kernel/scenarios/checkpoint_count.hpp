#pragma once

namespace coronel {

// Prints and passes the next checkpoint, counted from 1 over the whole run (docs/spec.md 11.1).
void pass_checkpoint(const char* name);

}  // namespace coronel
