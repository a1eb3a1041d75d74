#include "scenarios/blocks.hpp"

#include "routing.hpp"

namespace coronel {

memory::heap_block* header_of(const void* data) {
    return (vaddr_t{data} - sizeof(memory::heap_block)).as<memory::heap_block>();
}

void announce_damage(const bug& which, const void* culprit, const memory::heap_block* victim,
                     vaddr_t address, u64 length) {
    g_seeded_fault.begin(which);
    g_seeded_fault.victim = victim->address().value();
    g_seeded_fault.culprit = header_of(culprit)->address().value();
    g_seeded_fault.address = address.value();
    g_seeded_fault.length = length;
    g_seeded_fault.keep_original();
}

// A block that does not fit the row so far begins a new one. The others stay allocated: freed, they
// would be found again.
u64 allocate_row(u64 size, void** row, u64 wanted) {
    u64 length = 0;
    while (length < wanted) {
        void* const data = memory::kalloc(size);
        if (data == nullptr) {
            break;
        }
        const memory::heap_block* const block = header_of(data);
        const bool continues = length > 0 && header_of(row[length - 1])->touches(block) &&
                               header_of(row[length - 1])->next == block;
        length = continues ? length : 0;
        row[length++] = data;
    }
    return length;
}

}  // namespace coronel
