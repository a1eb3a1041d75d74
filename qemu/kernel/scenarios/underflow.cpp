#include "scenarios/blocks.hpp"
#include "scenarios/scenario.hpp"

// A number written from its last digit to its first, in a buffer for fewer digits.
namespace coronel {

namespace {

constexpr u64 BUFFER_SIZE = 16;
constexpr u64 NUMBER = u64{1} << 27;
constexpr u64 DAMAGE = 12;  // 28 binary digits
static_assert(NUMBER >> (BUFFER_SIZE + DAMAGE - 1) == 1);

[[gnu::noipa]] void write_binary(char* end, u64 number) {
    do {
        *--end = static_cast<char>('0' + number % 2);  // The bug: nothing says where to stop.
        number /= 2;
    } while (number != 0);
}

constexpr u32 BUG_LINE = __LINE__ - 5;

}  // namespace

void run_underflow(const options&) {
    void* buffers[2];
    if (!allocate_row(BUFFER_SIZE, buffers)) {
        return;
    }
    const bug which{fault_kind::heap_underflow, "underflow", __FILE__, BUG_LINE,
                    reinterpret_cast<u64>(&write_binary)};
    const memory::heap_block* const victim = header_of(buffers[1]);
    announce_damage(which, buffers[1], victim, victim->data() - DAMAGE, DAMAGE);
    write_binary(static_cast<char*>(buffers[1]) + BUFFER_SIZE, NUMBER);
    g_seeded_fault.keep_written();
}

}  // namespace coronel
