#include "lib/bytes.hpp"
#include "scenarios/blocks.hpp"
#include "scenarios/scenario.hpp"

// A packet that says itself how long it is.
namespace coronel {

namespace {

constexpr u64 BUFFER_SIZE = 64;
constexpr u64 DAMAGE = 100;

struct packet {
    u64 length;
    u8 payload[256];
};

constinit packet g_packet = {BUFFER_SIZE + DAMAGE, {}};

[[gnu::noipa]] void receive(u8* buffer, const packet& arrived) {
    memcpy(buffer, arrived.payload, arrived.length);  // The bug: the sender chooses the length.
}

constexpr u32 BUG_LINE = __LINE__ - 3;

}  // namespace

void run_overflow100(const options&) {
    void* buffers[2];
    if (!allocate_row(BUFFER_SIZE, buffers)) {
        return;
    }
    memset(g_packet.payload, 'p', sizeof g_packet.payload);
    const bug which{fault_kind::heap_overflow, "overflow100", __FILE__, BUG_LINE,
                    reinterpret_cast<u64>(&receive)};
    const memory::heap_block* const victim = header_of(buffers[1]);
    announce_damage(which, buffers[0], victim, victim->address(), DAMAGE);
    receive(static_cast<u8*>(buffers[0]), g_packet);
    g_seeded_fault.keep_written();
}

}  // namespace coronel
