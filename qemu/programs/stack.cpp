#include "checks.hpp"

// `deep` uses nearly the whole stack, `guard` more than there is, `hungry` one for which no memory
// is left (docs/spec.md 14.4, 14.5).

namespace {

constexpr u64 STACK_LIMIT = 0x7f800000;

// A frame of a bit more than a page; the sum makes the compiler keep each of them.
[[gnu::noinline]] u64 descend(u64 depth) {
    volatile u8 local[4096];
    local[0] = static_cast<u8>(depth);
    local[4095] = 1;
    const u64 below = depth == 0 ? 0 : descend(depth - 1);
    return below + local[0] + local[4095];
}

// All memory there is, in smaller and smaller pieces.
void take_everything() {
    for (u64 bytes = u64{1} << 24; bytes >= 4096; bytes /= 2) {
        while (mmap(0, bytes, READ) != nullptr) {
        }
    }
}

}  // namespace

int run(const char* arguments) {
    checks check;
    if (lib::text{arguments} != "deep") {
        if (lib::text{arguments} == "hungry") {
            take_everything();
        }
        descend(1U << 20);
        check.expect("the end of the stack", false);
        return check.result();
    }
    u8 here = 0;
    const u64 room = address_of(&here) - STACK_LIMIT;
    check.expect("before", room > (7U << 20));
    check.expect("deep", descend(1900) != 0);
    // All at once: to the lowest page.
    volatile u8* const lowest = reinterpret_cast<volatile u8*>(STACK_LIMIT);
    check.expect("lowest page", *lowest == 0);
    *lowest = 1;
    check.expect("written", *lowest == 1);
    return check.result();
}
