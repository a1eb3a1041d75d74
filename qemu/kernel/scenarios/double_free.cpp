#include "routing.hpp"
#include "scenarios/blocks.hpp"
#include "scenarios/scenario.hpp"

// A file that is closed where the error is noticed, and again where the work ends. The heap
// refuses.
namespace coronel {

namespace {

struct file {
    void* buffer;
};

[[gnu::noipa]] void close(const file& opened) {
    memory::kfree(opened.buffer);  // The bug: the pointer stays in the file.
}

constexpr u32 BUG_LINE = __LINE__ - 3;

}  // namespace

void run_double_free(const options&) {
    void* buffers[2];
    if (!allocate_row(128, buffers)) {
        return;
    }
    const file opened{buffers[0]};
    close(opened);
    const bug which{fault_kind::double_free, "double_free", __FILE__, BUG_LINE,
                    reinterpret_cast<u64>(&close)};
    const memory::heap_block* const victim = header_of(opened.buffer);
    announce_damage(which, opened.buffer, victim, victim->data(), 0);
    close(opened);
}

}  // namespace coronel
