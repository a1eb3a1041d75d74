#pragma once

namespace coronel {

// Runs all processes, each until it gives way, round robin in order of pid, until none is left.
// When all are paused there is a checkpoint, and they go on (docs/spec.md 14.7).
void run_all_processes();

}  // namespace coronel
