#pragma once

#include "address.hpp"

// Where another program puts operations for the kernel, and finds what became of them (docs/spec.md
// 16.4).
namespace coronel {

// The numbers of the trace where it has one (docs/spec.md 12.3), then those it does not record.
enum class order_code : u32 {
    physical_alloc = 1,
    physical_free,
    virt_alloc,
    virt_alloc_at,
    virt_free,
    paging_map,
    paging_unmap,
    heap_malloc,
    heap_free,
    heap_realloc,
    heap_calloc,
    heap_aligned_alloc,
    placement_kalloc,
    process_create,
    process_destroy,
    sys_malloc,
    sys_free,
    sys_realloc,
    sys_calloc,
    sys_brk,
    sys_mmap,
    sys_munmap,
    stack_growth,
    kalloc = 32,
    kfree,
    validate_heap,
    create_page_directory,
    create_user_page_directory,
    mapio,
    fill,
    store,
    user_store,
    user_validate,
};

inline constexpr u64 ORDER_ARGUMENTS = 4;

struct order {
    static constexpr u16 no_reference = 0xffff;

    order_code code;
    u32 unused;
    u16 references[ORDER_ARGUMENTS];  // an earlier order whose result is added to the argument
    u64 arguments[ORDER_ARGUMENTS];
};

struct mailbox {
    static constexpr u64 most_orders = 584;

    u32 request;  // the number of the last batch written
    u32 answer;   // the number of the last batch done
    u32 count;    // orders of the batch
    u32 done;     // how many of them are done
    u64 ticks;    // that the batch took
    u64 ticks_per_second;
    u64 unused[4];
    order orders[most_orders];
    u64 results[most_orders];
};

static_assert(sizeof(order) == 48);
static_assert(offsetof(order, references) == 8);
static_assert(offsetof(order, arguments) == 16);

static_assert(sizeof(mailbox) == 8 * PAGE_SIZE);
static_assert(offsetof(mailbox, request) == 0);
static_assert(offsetof(mailbox, answer) == 4);
static_assert(offsetof(mailbox, count) == 8);
static_assert(offsetof(mailbox, done) == 12);
static_assert(offsetof(mailbox, ticks) == 16);
static_assert(offsetof(mailbox, ticks_per_second) == 24);
static_assert(offsetof(mailbox, orders) == 64);
static_assert(offsetof(mailbox, results) == 28096);

// Its pages hold nothing else.
extern mailbox g_mailbox;

// Does one order, its arguments complete, and gives what it returns (docs/spec.md 16.4).
u64 execute(order_code code, const u64 (&arguments)[ORDER_ARGUMENTS]);

// The same for those that make a process or ask something for one.
u64 execute_for_process(order_code code, const u64 (&arguments)[ORDER_ARGUMENTS]);

}  // namespace coronel
