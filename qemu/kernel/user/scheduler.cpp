#include "user/scheduler.hpp"

#include "cpu.hpp"
#include "paging.hpp"
#include "scenarios/checkpoint_count.hpp"
#include "serial.hpp"
#include "user/process.hpp"
#include "user/system_calls.hpp"
#include "user/user_mode.hpp"

namespace coronel {

namespace {

constexpr u64 PAGE_FAULT = 14;
constexpr u64 PAGE_WAS_PRESENT = 1U << 0;  // SDM vol. 3A, 4.7

process* first_ready(process* from) {
    while (from != nullptr && from->state != process_state::ready) {
        from = from->next;
    }
    return from;
}

// The next in turn behind the process of that number, which may be gone; or null.
process* next_ready(u64 pid) {
    process* after = g_process_list;
    while (after != nullptr && after->pid <= pid) {
        after = after->next;
    }
    process* const found = first_ready(after);
    return found != nullptr ? found : first_ready(g_process_list);
}

void wake_all() {
    for (process* one = g_process_list; one != nullptr; one = one->next) {
        one->state = process_state::ready;
    }
}

// docs/spec.md 14.5.
turn handle_exception(process& caller, u64 cr2) {
    const exceptions::frame& trap = caller.context;
    const bool may_be_stack =
        trap.vector == PAGE_FAULT && (trap.error & PAGE_WAS_PRESENT) == 0;
    if (may_be_stack && caller.memory.grow_stack(vaddr_t{cr2}) == outcome::done) {
        return turn::goes_on;
    }
    serial::line("process ", caller.pid, ": exception ", trap.vector, " error ",
                 serial::hex{trap.error}, " cr2 ", serial::hex{cr2}, " rip ",
                 serial::hex{trap.rip});
    caller.state = process_state::ended;
    return turn::is_over;
}

// One turn: in the process's address space from its first instruction to the end of its last
// system call.
void run_turn(process& chosen) {
    cpu::load_page_directory(chosen.memory.directory());
    turn now = turn::goes_on;
    while (now == turn::goes_on) {
        user_mode::run(chosen.context);
        now = chosen.context.vector == user_mode::SYSTEM_CALL
                  ? handle_system_call(chosen)
                  : handle_exception(chosen, cpu::read_cr2());
    }
    cpu::load_page_directory(paging::kernel_directory());
}

}  // namespace

void run_all_processes() {
    u64 last_pid = 0;
    while (g_process_list != nullptr) {
        process* const chosen = next_ready(last_pid);
        if (chosen == nullptr) {
            pass_checkpoint("paused");
            wake_all();
            continue;
        }
        last_pid = chosen->pid;
        run_turn(*chosen);
        if (chosen->state == process_state::ended) {
            destroy_process(chosen);
        }
    }
}

}  // namespace coronel
