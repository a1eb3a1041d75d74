#include "cpu.hpp"
#include "paging.hpp"
#include "scenarios/mailbox.hpp"
#include "scenarios/scenario.hpp"
#include "timer.hpp"

// Does what another program asks for in the mailbox, for ever (docs/spec.md 16.4).
namespace coronel {

alignas(PAGE_SIZE) constinit mailbox g_mailbox = {};

namespace {

u32 wait_for_request() {
    for (;;) {
        const u32 request = __atomic_load_n(&g_mailbox.request, __ATOMIC_ACQUIRE);
        if (request != g_mailbox.answer) {
            return request;
        }
        cpu::pause();
    }
}

// The order's own arguments, with the results it refers to; fails for one that is not done yet.
outcome complete(const order& given, u64 number, u64 (&arguments)[ORDER_ARGUMENTS]) {
    for (u64 index = 0; index < ORDER_ARGUMENTS; ++index) {
        const u16 reference = given.references[index];
        arguments[index] = given.arguments[index];
        if (reference == order::no_reference) {
            continue;
        }
        if (reference >= number) {
            return outcome::failed;
        }
        arguments[index] += g_mailbox.results[reference];
    }
    return outcome::done;
}

// A batch ends at an order that cannot be understood: `done` says how far it came.
void do_batch(u64 count) {
    const u64 start = timer::ticks();
    g_mailbox.done = 0;
    for (u64 number = 0; number < count && number < mailbox::most_orders; ++number) {
        const order& given = g_mailbox.orders[number];
        u64 arguments[ORDER_ARGUMENTS];
        if (complete(given, number, arguments) == outcome::failed) {
            break;
        }
        g_mailbox.results[number] = execute(given.code, arguments);
        g_mailbox.done = static_cast<u32>(number + 1);
    }
    g_mailbox.ticks = timer::ticks() - start;
}

}  // namespace

// Between two batches all of memory but the mailbox may be put back to what it was: nothing is
// remembered from one to the next, and the translations are forgotten.
void run_executor(const options&) {
    g_mailbox.ticks_per_second = timer::ticks_per_second();
    for (;;) {
        const u32 request = wait_for_request();
        cpu::load_page_directory(paging::kernel_directory());
        do_batch(g_mailbox.count);
        __atomic_store_n(&g_mailbox.answer, request, __ATOMIC_RELEASE);
    }
}

}  // namespace coronel
