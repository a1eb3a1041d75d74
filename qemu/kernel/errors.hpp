#pragma once

#include "lib/integers.hpp"
#include "lib/text.hpp"

namespace memory {

// Every way a memory operation can fail (docs/spec.md 8.1).
enum class error_kind : u32 {
    out_of_memory,
    virtual_space_exhausted,
    corruption_detected,
    double_free,
    invalid_pointer,
};

inline constexpr u64 ERROR_KINDS = 5;

// Counts the error among the `errors` of `part` and prints it. `subject` is the address that was
// refused or found corrupt, or the number of bytes there was no room for.
void report(u64 (&errors)[ERROR_KINDS], lib::text part, error_kind kind, u64 subject);

}  // namespace memory
