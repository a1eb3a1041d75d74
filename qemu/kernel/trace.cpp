#include "trace.hpp"

constinit coronel::trace g_trace;

namespace coronel {

constinit trace_state g_trace_states[MAX_CPUS] = {};

void trace::start(trace_record* ring, u64 capacity) {
    ring_ = ring;
    capacity_ = capacity;
}

}  // namespace coronel
