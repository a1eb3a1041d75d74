#include "heap.hpp"
#include "paging.hpp"
#include "physical.hpp"
#include "scenarios.hpp"
#include "truth.hpp"
#include "user_heap.hpp"
#include "virt.hpp"

constinit older::truth g_truth = {};
constinit older::tally g_tally = {};

namespace {

using older::damage;

template <typename T>
u64 number(T* pointer) {
    return reinterpret_cast<u64>(pointer);
}

// Copies until the zero: the caller has room for as much as it thinks.
void copy_text(u8* to, const char* from) {
    while (*from != 0) {
        *to++ = static_cast<u8>(*from++);
    }
}

void overflow() {
    auto* const name = static_cast<u8*>(g_kernel_heap->malloc(24));
    g_kernel_heap->malloc(40);
    memory::heap_block* const victim = memory::heap_block::of(name)->next;
    g_truth = {damage::heap_overflow, 0, number(victim), 0,  number(memory::heap_block::of(name)),
               number(victim),        9, 0,              victim->size};
    copy_text(name, "a name of twenty-four characters+");  // 33 of them
    g_truth.found = victim->size;
}

// Takes a block out of the list to look at it, and puts it back: the neighbour's way back is
// forgotten, and the block's own way on is taken from the wrong variable.
void broken_links() {
    g_kernel_heap->malloc(32);
    memory::heap_block* const block = memory::heap_block::of(g_kernel_heap->malloc(48));
    g_kernel_heap->malloc(32);
    memory::heap_block* const before = block->prev;
    memory::heap_block* const after = block->next;
    before->next = after;
    after->prev = before;

    before->next = block;
    block->next = before;
    g_truth = {damage::broken_links,  0, number(block),  number(after), 0,
               number(&block->next),  8, number(before), number(after)};
}

void statistics() {
    void* const data = g_kernel_heap->malloc(512);
    g_kernel_heap->malloc(16);
    g_truth = g_kernel_heap->shrink(data, 256);
}

void frame_freed_twice() {
    g_physical_manager->free(g_physical_manager->alloc());
    const u64 frame = g_physical_manager->alloc();
    g_physical_manager->free(frame);
    const u64 first = number(g_physical_manager->last_free());
    g_physical_manager->free(frame);
    g_truth = {damage::frame_freed_twice, 0, number(g_physical_manager->last_free()), first, 0, frame,
               0,                         2, 1};
}

void frame_freed_mapped() {
    const u64 start = g_kernel_virtual_manager->alloc(PAGE_SIZE);
    const u64 frame = g_physical_manager->alloc();
    paging::map(vaddr_t{start}, frame, paging::rights::kernel);
    g_physical_manager->free(frame);
    g_truth = {damage::frame_freed_mapped, 0, start, 0, 0, frame, PAGE_SIZE, 0, 0};
}

// Gives back three pages where it was given one.
void regions_overlap() {
    const u64 start = g_kernel_virtual_manager->alloc(PAGE_SIZE);
    g_kernel_virtual_manager->alloc(PAGE_SIZE);
    const virt::node* const behind = g_kernel_virtual_manager->region_from(start + 2 * PAGE_SIZE);
    g_kernel_virtual_manager->free(start, 3 * PAGE_SIZE);
    g_truth = {damage::regions_overlap, 0, number(behind), 0, 0, start, 3 * PAGE_SIZE, 0, 0};
}

void user_overflow() {
    auto* const name = static_cast<u8*>(g_user_heap->malloc(16));
    g_user_heap->malloc(32);
    memory::user_block* const victim = memory::user_block::of(name)->next;
    g_truth = {damage::user_overflow, 0, number(victim), 0, number(memory::user_block::of(name)),
               number(victim),        8, 0,              victim->size};
    copy_text(name, "sixteen letters.and more");
    g_truth.found = victim->size;
}

// Marks what it takes for its own record, which was freed and handed out again.
void user_flag() {
    void* const stale = g_user_heap->malloc(64);
    g_user_heap->free(stale);
    void* const other = g_user_heap->malloc(64);
    memory::user_block* const victim = memory::user_block::of(other);
    const u32 before = victim->flags;
    memory::user_block::of(stale)->flags |= 1;
    g_truth = {damage::user_flag,        0, number(victim), 0, 0,
               number(&victim->flags), 4, victim->flags,  before};
}

struct named {
    const char* name;
    void (*run)();
};

constexpr named BUGS[] = {
    {"overflow", overflow},
    {"broken_links", broken_links},
    {"statistics", statistics},
    {"frame_twice", frame_freed_twice},
    {"frame_mapped", frame_freed_mapped},
    {"region_overlap", regions_overlap},
    {"user_overflow", user_overflow},
    {"user_flag", user_flag},
};

}  // namespace

namespace older {

bool run_bug(lib::text name) {
    for (const named& bug : BUGS) {
        if (name == bug.name) {
            bug.run();
            return true;
        }
    }
    return false;
}

}  // namespace older
