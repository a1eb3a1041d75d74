#include "checks.hpp"
#include "lib/random.hpp"

// A heap full of blocks and holes, and mappings between which others are gone: every call in a
// random order. `hoard pause` then stops where the kernel has a checkpoint, `hoard forever` goes on.

namespace {

constexpr u64 PAGE = 4096;
constexpr u64 BLOCKS = 96;
constexpr u64 MAPPINGS = 16;
constexpr u64 ROUNDS = 600;
constexpr u64 ROUNDS_A_TURN = 50;

struct piece {
    u8* start;
    u64 bytes;
};

constinit piece g_blocks[BLOCKS] = {};
constinit piece g_mappings[MAPPINGS] = {};
constinit u64 g_wrong = 0;

u8 mark(u64 index) { return static_cast<u8>(1 + index); }

void look(const piece& part, u64 index) {
    g_wrong += part.start != nullptr && !holds_only(part.start, mark(index), part.bytes);
}

void change_block(u64 draw) {
    const u64 index = (draw >> 32) % BLOCKS;
    piece& block = g_blocks[index];
    const u64 bytes = 1 + draw % (draw >> 60 == 0 ? 3000 : 300);
    const u64 how = (draw >> 48) % 8;
    if (block.start == nullptr) {
        block = {how == 0 ? calloc(1, bytes) : malloc(bytes), bytes};
    } else if (how == 0) {
        look(block, index);
        u8* const moved = realloc(block.start, bytes);
        block = moved != nullptr ? piece{moved, bytes} : block;
    } else {
        look(block, index);
        g_wrong += free(block.start) != 0;
        block = {};
    }
    if (block.start != nullptr) {
        fill(block.start, mark(index), block.bytes);
    }
}

void change_mapping(u64 draw) {
    const u64 index = (draw >> 32) % MAPPINGS;
    piece& mapping = g_mappings[index];
    if (mapping.start == nullptr) {
        const u64 bytes = (1 + draw % 4) * PAGE;
        mapping = {mmap(0, bytes, READ | WRITE), bytes};
        fill(mapping.start, mark(index), mapping.start != nullptr ? bytes : 0);
    } else {
        look(mapping, index);
        g_wrong += munmap(mapping.start, mapping.bytes) != 0;
        mapping = {};
    }
}

}  // namespace

int run(const char* arguments) {
    checks check;
    const lib::text wanted{arguments};
    lib::random random{wanted.length()};
    for (u64 done = 1; done % (ROUNDS + 1) != 0; ++done) {
        const u64 draw = random.next();
        if (draw % 5 == 0) {
            change_mapping(random.next());
        } else {
            change_block(random.next());
        }
        if (done % ROUNDS_A_TURN == 0) {
            yield();
        }
        if (done == ROUNDS && wanted.starts_with("forever")) {
            done = 0;
        }
    }
    if (wanted.starts_with("pause")) {
        pause();
    }
    for (u64 index = 0; index < BLOCKS; ++index) {
        look(g_blocks[index], index);
    }
    check.expect("hoard", g_wrong == 0);
    return check.result();
}
