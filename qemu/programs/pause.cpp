#include "checks.hpp"

// Stops twice where the kernel has a checkpoint, so that all that run it are alive at once. The
// same addresses hold something else in each: the argument.

// Visible from outside: else the compiler, which sees all its uses, would keep it in registers.
extern char g_own[64];
constinit char g_own[64] = "nobody";

int run(const char* arguments) {
    checks check;
    const lib::text own{arguments};
    for (u64 index = 0; index < sizeof g_own; ++index) {
        g_own[index] = index < own.length() ? own[index] : '\0';
    }
    u8* const block = malloc(100);
    u8* const page = mmap(0, 4096, READ | WRITE);
    fill(block, static_cast<u8>(own[0]), 100);
    fill(page, static_cast<u8>(own[0]), 4096);
    pause();
    check.expect("own heap", holds_only(block, static_cast<u8>(own[0]), 100));
    check.expect("own page", holds_only(page, static_cast<u8>(own[0]), 4096));
    check.expect("own data", lib::text{g_own}.starts_with(own));
    pause();
    return check.result();
}
