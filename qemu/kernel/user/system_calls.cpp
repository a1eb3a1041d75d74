#include "user/system_calls.hpp"

#include "serial.hpp"
#include "trace.hpp"
#include "user/process_change.hpp"
#include "user/system_call_numbers.hpp"

using coronel::operation;
using coronel::process_change;
using coronel::traced_operation;

namespace {

constexpr u64 REFUSED = ~u64{0};
constexpr u64 MAX_WRITE = 4096;

// A terminal obeys control characters: a process gets to use one of them.
char printable(char given) {
    return (given >= ' ' && given <= '~') || given == '\n' ? given : '.';
}

}  // namespace

u64 sys_write(coronel::process& caller, vaddr_t text, u64 length) {
    // Check.
    if (!caller.memory.validate_user_pointer(text, length, page_flags::read)) {
        return REFUSED;
    }

    // Commit.
    const u64 written = length < MAX_WRITE ? length : MAX_WRITE;
    char piece[128];
    for (u64 done = 0; done < written; done += sizeof piece) {
        const u64 left = written - done;
        const u64 bytes = left < sizeof piece ? left : sizeof piece;
        caller.memory.bytes().read(text + done, piece, bytes);
        for (u64 index = 0; index < bytes; ++index) {
            piece[index] = printable(piece[index]);
        }
        serial::write(lib::text{piece, bytes});
    }
    return written;
}

vaddr_t sys_malloc(coronel::process& caller, u64 size) {
    const process_change change;
    traced_operation traced{operation::sys_malloc, size};
    return traced.result(caller.memory.heap().malloc(size));
}

u64 sys_free(coronel::process& caller, vaddr_t data) {
    const process_change change;
    traced_operation traced{operation::sys_free, data};
    return traced.result(caller.memory.heap().free(data) == outcome::done ? 0 : REFUSED);
}

vaddr_t sys_realloc(coronel::process& caller, vaddr_t data, u64 size) {
    const process_change change;
    traced_operation traced{operation::sys_realloc, data, size};
    return traced.result(caller.memory.heap().realloc(data, size));
}

vaddr_t sys_calloc(coronel::process& caller, u64 count, u64 size) {
    const process_change change;
    traced_operation traced{operation::sys_calloc, count, size};
    return traced.result(caller.memory.heap().calloc(count, size));
}

vaddr_t sys_brk(coronel::process& caller, vaddr_t end) {
    const process_change change;
    traced_operation traced{operation::sys_brk, end};
    return traced.result(caller.memory.heap().brk(end));
}

vaddr_t sys_mmap(coronel::process& caller, vaddr_t start, u64 length, u64 protection) {
    const process_change change;
    traced_operation traced{operation::sys_mmap, start, length, protection};
    return traced.result(caller.memory.mmap(start, length, protection));
}

u64 sys_munmap(coronel::process& caller, vaddr_t start, u64 length) {
    const process_change change;
    traced_operation traced{operation::sys_munmap, start, length};
    return traced.result(caller.memory.munmap(start, length) == outcome::done ? 0 : REFUSED);
}

namespace coronel {

namespace {

turn end_turn(process& caller, process_state state) {
    caller.state = state;
    return turn::is_over;
}

turn exit(process& caller, u32 code) {
    caller.exit_code = code;
    serial::line("process ", caller.pid, ": exit ", code);
    return end_turn(caller, process_state::ended);
}

}  // namespace

turn handle_system_call(process& caller) {
    const u64 first = caller.context.rdi;
    const u64 second = caller.context.rsi;
    const u64 third = caller.context.rdx;
    u64& result = caller.context.rax;
    switch (static_cast<system_call>(result)) {
    case system_call::exit:
        return exit(caller, static_cast<u32>(first));
    case system_call::write:
        result = sys_write(caller, vaddr_t{first}, second);
        return turn::goes_on;
    case system_call::yield:
        result = 0;
        return end_turn(caller, process_state::ready);
    case system_call::pause:
        result = 0;
        return end_turn(caller, process_state::paused);
    case system_call::malloc:
        result = sys_malloc(caller, first).value();
        return turn::goes_on;
    case system_call::free:
        result = sys_free(caller, vaddr_t{first});
        return turn::goes_on;
    case system_call::realloc:
        result = sys_realloc(caller, vaddr_t{first}, second).value();
        return turn::goes_on;
    case system_call::calloc:
        result = sys_calloc(caller, first, second).value();
        return turn::goes_on;
    case system_call::brk:
        result = sys_brk(caller, vaddr_t{first}).value();
        return turn::goes_on;
    case system_call::mmap:
        result = sys_mmap(caller, vaddr_t{first}, second, third).value();
        return turn::goes_on;
    case system_call::munmap:
        result = sys_munmap(caller, vaddr_t{first}, second);
        return turn::goes_on;
    }
    result = REFUSED;
    return turn::goes_on;
}

}  // namespace coronel
