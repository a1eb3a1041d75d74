#include "lib/bytes.hpp"
#include "lib/random.hpp"
#include "paging.hpp"
#include "physical.hpp"
#include "scenarios/scenario.hpp"
#include "scenarios/seeded_fault.hpp"
#include "serial.hpp"
#include "user/process.hpp"
#include "user/user_space.hpp"

// Two processes that own one frame: equal pages are merged to save memory, and nobody remembers
// that (docs/spec.md 11.4).
namespace coronel {

namespace {

constexpr u64 DATA_PAGES = 4;
constexpr u64 EQUAL_PAGE = 2;  // holds a table that is the same in both
constexpr vaddr_t CODE = USER_START;
constexpr vaddr_t DATA = USER_START + PAGE_SIZE;

bool are_equal(process& left, process& right, vaddr_t page) {
    constexpr u64 piece_bytes = 256;
    u8 pieces[2][piece_bytes];
    for (u64 done = 0; done < PAGE_SIZE; done += piece_bytes) {
        if (left.memory.bytes().read(page + done, pieces[0], piece_bytes) == outcome::failed ||
            right.memory.bytes().read(page + done, pieces[1], piece_bytes) == outcome::failed ||
            memcmp(pieces[0], pieces[1], piece_bytes) != 0) {
            return false;
        }
    }
    return true;
}

u64 entry_of(process& owner, vaddr_t page) {
    return paging::look_up(owner.memory.directory(), page).raw();
}

// One frame is enough for two pages that are equal.
[[gnu::noinline]] void merge_page(process& kept, process& changed, vaddr_t page) {
    const paddr_t frame = paging::look_up(kept.memory.directory(), page).frame();
    changed.memory.bytes().unmap(page, PAGE_SIZE, memory::page_order::ascending);
    // The bug: both still write to it, each will free it, and no count says that there are two.
    paging::map(changed.memory.directory(), page, frame, page_flags::write | page_flags::user);
}

constexpr u32 g_line_of_merge = __LINE__ - 3;

void announce(process& kept, process& changed, vaddr_t page) {
    const u64 entry = entry_of(changed, page);
    g_seeded_fault = {};
    g_seeded_fault.kind = fault_kind::shared_user_page;
    g_seeded_fault.line = g_line_of_merge;
    g_seeded_fault.victim = vaddr_t{&kept}.value();
    g_seeded_fault.culprit = vaddr_t{&changed}.value();
    g_seeded_fault.address = page.value();
    g_seeded_fault.length = PAGE_SIZE;
    g_seeded_fault.file = __FILE__;
    g_seeded_fault.name = "shared_user_page";
    g_seeded_fault.caller = reinterpret_cast<u64>(&merge_page);
    memcpy(g_seeded_fault.original, &entry, sizeof entry);
}

process* create(const char* name, lib::random& random) {
    process* const created = create_process(name);
    if (created == nullptr ||
        created->memory.setup_memory_layout(CODE, PAGE_SIZE, DATA, DATA_PAGES * PAGE_SIZE) ==
            outcome::failed) {
        return nullptr;
    }
    for (u64 page = 0; page < DATA_PAGES; ++page) {
        const u8 value = static_cast<u8>(page == EQUAL_PAGE ? 0x5A : random.next());
        created->memory.bytes().fill(DATA + page * PAGE_SIZE, value, PAGE_SIZE);
        const u64 mark = page == EQUAL_PAGE ? 0 : created->pid;
        created->memory.bytes().write(DATA + page * PAGE_SIZE, &mark, sizeof mark);
    }
    return created;
}

}  // namespace

// The processes stay: they are what there is to see.
void run_shared_user_page(const options& wanted) {
    lib::random random{wanted.seed};
    process* const first = create("first", random);
    process* const second = create("second", random);
    if (first == nullptr || second == nullptr) {
        return serial::line("shared_user_page: out of memory");
    }
    for (u64 index = 0; index < DATA_PAGES; ++index) {
        const vaddr_t page = DATA + index * PAGE_SIZE;
        if (are_equal(*first, *second, page)) {
            announce(*first, *second, page);
            merge_page(*first, *second, page);
            const u64 entry = entry_of(*second, page);
            memcpy(g_seeded_fault.written, &entry, sizeof entry);
        }
    }
}

}  // namespace coronel
