#pragma once

#include "lib/integers.hpp"

namespace older {

enum class damage : u32 {
    none,
    heap_overflow,
    broken_links,
    statistics,
    frame_freed_twice,
    frame_freed_mapped,
    regions_overlap,
    user_overflow,
    user_flag,
};

// What the kernel knows of its own bug: the judge of whatever looks at it. Addresses are virtual
// unless they are a frame's.
struct truth {
    damage kind;
    u32 reserved;
    u64 subject;   // the damaged header or node; of the statistics, the heap object
    u64 second;    // the other damaged one
    u64 culprit;   // the block whose owner did it
    u64 address;   // the first damaged byte, or the frame
    u64 length;    // of the damaged bytes
    u64 found;     // what stands there
    u64 expected;  // what would stand there without the bug
};

// How often the heap did what its statistics get wrong, counted apart from them.
struct tally {
    u64 splits;
    u64 merges;
    u64 expansions;
};

}  // namespace older

extern older::truth g_truth;
extern older::tally g_tally;
