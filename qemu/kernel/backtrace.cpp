#include "backtrace.hpp"

#include "address_map.hpp"
#include "segments.hpp"
#include "serial.hpp"

namespace backtrace {

namespace {

constexpr u64 MOST_FRAMES = 16;

// What `push %rbp; mov %rsp, %rbp` leaves at the address in rbp.
struct link {
    u64 caller_rbp;
    u64 return_address;
};

// A chain that went wrong must not make the report fail: the guard page, for one, is not mapped.
bool is_readable(u64 rbp) {
    const vaddr_t place{rbp};
    const bool on_stack = STACK_START <= place && place <= STACK_END - sizeof(link);
    return lib::is_aligned(rbp, alignof(link)) &&
           (on_stack || segments::is_fault_stack(place, sizeof(link)));
}

}  // namespace

void print(u64 rbp) {
    for (u64 number = 0; number < MOST_FRAMES && is_readable(rbp); ++number) {
        const link* const frame = vaddr_t{rbp}.as<const link>();
        serial::line("  #", number, " ", serial::hex{frame->return_address});
        if (frame->caller_rbp <= rbp) {
            return;  // callers lie above
        }
        rbp = frame->caller_rbp;
    }
}

}  // namespace backtrace
