#include "checks.hpp"
#include "lib/random.hpp"

// Mappings that come and go, each marked with its number and looked at before it goes.

namespace {

constexpr u64 PAGE = 4096;
constexpr u64 SLOTS = 32;

struct mapping {
    u8* start;
    u64 bytes;
};

constinit mapping g_slots[SLOTS] = {};

}  // namespace

int run(const char*) {
    checks check;
    lib::random random{1};
    u64 wrong = 0;
    for (u64 done = 0; done < 300; ++done) {
        const u64 draw = random.next();
        const u64 index = (draw >> 32) % SLOTS;
        mapping& slot = g_slots[index];
        const u8 mark = static_cast<u8>(1 + index);
        if (slot.start == nullptr) {
            slot.bytes = (1 + draw % 8) * PAGE;
            slot.start = mmap(0, slot.bytes, READ | WRITE);
            wrong += slot.start == nullptr || !holds_only(slot.start, 0, slot.bytes);
            fill(slot.start, mark, slot.bytes);
        } else {
            wrong += !holds_only(slot.start, mark, slot.bytes) ||
                     munmap(slot.start, slot.bytes) != 0;
            slot.start = nullptr;
        }
        if (done % 64 == 0) {
            yield();
        }
    }
    check.expect("churn", wrong == 0);
    return check.result();
}
