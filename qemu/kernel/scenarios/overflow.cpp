#include "heap.hpp"
#include "lib/random.hpp"
#include "lib/text.hpp"
#include "routing.hpp"
#include "scenarios/message.hpp"
#include "scenarios/scenario.hpp"
#include "scenarios/seeded_fault.hpp"
#include "serial.hpp"

// A message that is longer than its buffer (docs/spec.md 11.5).
namespace coronel {

namespace {

constexpr u64 BUFFERS = 8;
constexpr u64 BUFFER_SIZE = 64;
constexpr u64 DAMAGE = 24;  // size, is_free with its padding, and next

constexpr const char* SHORT_TEXT = "the frame allocator has frames to give";
constexpr const char* LONG_TEXT =
    "no free region of the requested size was found; the heap could not be expanded again";

static_assert(MESSAGE_PREFIX + lib::text{SHORT_TEXT}.length() <= BUFFER_SIZE);
static_assert(MESSAGE_PREFIX + lib::text{LONG_TEXT}.length() == BUFFER_SIZE + DAMAGE);
static_assert(DAMAGE == offsetof(memory::heap_block, prev));

memory::heap_block* header_of(char* buffer) {
    return (vaddr_t{buffer} - sizeof(memory::heap_block)).as<memory::heap_block>();
}

// Whether what is written behind the buffer hits the next block's header.
bool has_victim(char* buffer) {
    if (buffer == nullptr) {
        return false;
    }
    const memory::heap_block* const block = header_of(buffer);
    return block->size == BUFFER_SIZE && block->next != nullptr && block->touches(block->next);
}

// The first buffer with a victim, cyclically from `first`; BUFFERS when there is none.
u64 find_culprit(char* const (&buffers)[BUFFERS], u64 first) {
    for (u64 step = 0; step < BUFFERS; ++step) {
        const u64 index = (first + step) % BUFFERS;
        if (has_victim(buffers[index])) {
            return index;
        }
    }
    return BUFFERS;
}

void announce(char* buffer) {
    const memory::heap_block* const culprit = header_of(buffer);
    g_seeded_fault.kind = fault_kind::heap_overflow;
    g_seeded_fault.line = g_message_line;
    g_seeded_fault.victim = culprit->next->address().value();
    g_seeded_fault.culprit = culprit->address().value();
    g_seeded_fault.address = culprit->end().value();
    g_seeded_fault.length = DAMAGE;
    g_seeded_fault.file = g_message_file;
    g_seeded_fault.name = "overflow";
    g_seeded_fault.caller = reinterpret_cast<u64>(&format_message);
    g_seeded_fault.keep_original();
}

}  // namespace

void run_overflow(const options& wanted) {
    lib::random random{wanted.seed};
    char* buffers[BUFFERS];
    for (char*& buffer : buffers) {
        buffer = static_cast<char*>(memory::kalloc(BUFFER_SIZE));
    }
    const u64 culprit = find_culprit(buffers, random.next() % BUFFERS);
    if (culprit == BUFFERS) {
        return serial::line("overflow: no victim");
    }
    announce(buffers[culprit]);
    for (u64 index = 0; index < BUFFERS; ++index) {
        if (buffers[index] != nullptr) {
            format_message(buffers[index], index, index == culprit ? LONG_TEXT : SHORT_TEXT);
        }
    }
    g_seeded_fault.keep_written();
}

}  // namespace coronel
