#include "checks.hpp"
#include "lib/random.hpp"

// A process that overwrites the headers of its own heap: calls are refused, the kernel lives, and
// what was whole can be used again.

namespace {

// docs/spec.md 7.1.
struct header {
    u64 size;
    u64 is_free;
    u64 next;
    u64 prev;
    u64 magic;
    u64 padding;
};

header* header_of(u8* data) { return reinterpret_cast<header*>(data - sizeof(header)); }

constexpr u64 WILD[] = {
    0, 1, 16, 48, 0x8000000, 0x8000010, 0x7fffff0, 0x3ffffff0, 0x40000000, 0x80000000,
    0xffffffff80326000, 0xffffffffbfe00000, 0x0000900000000000, 0xfffffffffffffff0, ~u64{0},
};

u64* field(header* block, u64 index) { return &block->size + index; }

// Whether the value makes sense in that field of a block in the middle: as far as its neighbours
// and itself can tell, a smaller block or the list's last one (docs/spec.md 7.5).
bool makes_sense(u64 index, u64 value, u64 saved) {
    const bool size = index == 0 && value >= 16 && value <= 64 && value % 16 == 0;
    const bool is_free = index == 1 && (value & 0xFF) == (saved & 0xFF);
    const bool last = index == 2 && value == 0;
    return value == saved || size || is_free || last;
}

// Each field of a block in the middle is given each wild value; all calls meet it. A neighbour sees
// only the link that leads to itself.
u64 smash_fields(u8* before, u8* victim, u8* behind) {
    u64 wrong = 0;
    header* const smashed = header_of(victim);
    for (u64 index = 0; index < 5; ++index) {
        const u64 saved = *field(smashed, index);
        for (const u64 value : WILD) {
            if (makes_sense(index, value, saved)) {
                continue;
            }
            *field(smashed, index) = value;
            wrong += free(victim) != REFUSED;
            wrong += realloc(victim, 1000) != nullptr;
            wrong += realloc(victim, 16) != nullptr;
            wrong += index != 2 && free(before) != REFUSED;
            wrong += index != 3 && free(behind) != REFUSED;
            wrong += malloc(3000) != nullptr;
            *field(smashed, index) = saved;
        }
    }
    return wrong;
}

// Anything anywhere, and calls of all kinds. Whatever they answer, the kernel must live.
void smash_at_random(u8* first, u64 rounds) {
    lib::random random{7};
    for (u64 round = 0; round < rounds; ++round) {
        const u64 draw = random.next();
        u64* const place = reinterpret_cast<u64*>(first) + (draw >> 32) % 512;
        *place = draw % 2 == 0 ? random.next() : address_of(first) + random.next() % 8192 / 16 * 16;
        u8* const data = malloc(random.next() % 300);
        realloc(data, random.next() % 600);
        free(first + 48 + random.next() % 4096 / 16 * 16);
        calloc(3, random.next() % 50);
    }
}

}  // namespace

int run(const char*) {
    checks check;
    u8* const before = malloc(64);
    u8* const victim = malloc(64);
    u8* const behind = malloc(64);
    check.expect("fields", smash_fields(before, victim, behind) == 0);
    check.expect("usable again", free(victim) == 0 && malloc(64) == victim && free(behind) == 0 &&
                                     free(victim) == 0 && free(before) == 0);

    // A list that ends in a circle: no walk is without end.
    u8* const last = malloc(64);
    u8* const other = malloc(64);
    header_of(other)->next = address_of(header_of(last));
    check.expect("circle", malloc(100000) == nullptr && free(other) == REFUSED);

    smash_at_random(reinterpret_cast<u8*>(header_of(last)), 200);
    check.expect("alive", true);
    return check.result();
}
