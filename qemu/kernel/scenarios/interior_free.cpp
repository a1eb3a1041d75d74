#include "lib/bytes.hpp"
#include "routing.hpp"
#include "scenarios/blocks.hpp"
#include "scenarios/scenario.hpp"

// A text whose pointer has moved on when it is freed. The heap refuses.
namespace coronel {

namespace {

constexpr u64 SIZE = 64;
constexpr u64 BLANKS = 16;

[[gnu::noipa]] void skip_and_free(char* text) {
    while (*text == ' ') {
        ++text;
    }
    memory::kfree(text);  // The bug: this is not where the block begins.
}

constexpr u32 BUG_LINE = __LINE__ - 3;

}  // namespace

void run_interior_free(const options&) {
    void* const text = memory::kalloc(SIZE);
    if (text == nullptr) {
        return;
    }
    memset(text, 'x', SIZE);
    memset(text, ' ', BLANKS);
    const bug which{fault_kind::invalid_free, "interior_free", __FILE__, BUG_LINE,
                    reinterpret_cast<u64>(&skip_and_free)};
    const memory::heap_block* const victim = header_of(text);
    announce_damage(which, text, victim, victim->data() + BLANKS, 0);
    skip_and_free(static_cast<char*>(text));
}

}  // namespace coronel
