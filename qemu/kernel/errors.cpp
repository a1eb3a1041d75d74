#include "errors.hpp"

#include "serial.hpp"

namespace memory {

namespace {

lib::text words_for(error_kind kind) {
    switch (kind) {
    case error_kind::out_of_memory:
        return "out of memory";
    case error_kind::virtual_space_exhausted:
        return "virtual space exhausted";
    case error_kind::corruption_detected:
        return "corruption detected";
    case error_kind::double_free:
        return "double free";
    case error_kind::invalid_pointer:
        return "invalid pointer";
    }
    return "unknown error";
}

}  // namespace

void report(u64 (&errors)[ERROR_KINDS], lib::text part, error_kind kind, u64 subject) {
    ++errors[static_cast<u32>(kind)];
    serial::line(part, ": ", words_for(kind), ": ", serial::hex{subject});
}

}  // namespace memory
