#include "checks.hpp"

// Bad pointers and bad registers for the kernel: all are refused and nothing breaks.

namespace {

constexpr u64 BAD[] = {
    1,
    0x3fffff,            // null guard
    0x410000,            // no page, if the program is as small as it should be
    0x8000000,           // heap without pages
    0x40000000,          // mmap without pages
    0x6ffffff0,
    0x70000000,          // reserved
    0x7f7ff000,          // stack guard
    0x7f800000,          // stack that has not grown
    0x7ffffffc,          // its end
    0x80000000,
    0x00007fffffffffff,  // end of the lower half
    0x0000800000000000,  // not canonical
    0x8000000000000000,
    0xffffffff80100000,  // kernel code
    0xffffffff80326000,  // kernel stack
    0xffffffffbfe00000,  // window
    0xffffffffffffffff,
};

constinit char g_text[] = "text\n";

void check_write(checks& check) {
    u64 accepted = 0;
    for (const u64 address : BAD) {
        accepted += call(system_call::write, address, 16) != REFUSED;
    }
    check.expect("write refuses", accepted == 0);
    check.expect("write of nothing", write(g_text, 0) == REFUSED);
    const u64 text = address_of(g_text);
    check.expect("write wraps", call(system_call::write, text, 0 - text) == REFUSED &&
                                    call(system_call::write, text, REFUSED) == REFUSED &&
                                    call(system_call::write, text, u64{1} << 63) == REFUSED);
    check.expect("write past the page", call(system_call::write, text, 1U << 20) == REFUSED);
    check.expect("write works", write(g_text, 5) == 5);
}

void check_blocks(checks& check) {
    u8* const block = malloc(64);
    u64 accepted = 0;
    for (const u64 address : BAD) {
        accepted += call(system_call::free, address) != REFUSED;
        accepted += call(system_call::realloc, address, 100) != 0;
        accepted += call(system_call::munmap, address, 4096) != REFUSED;
    }
    accepted += free(block + 16) != REFUSED;
    accepted += free(block - 48) != REFUSED;
    check.expect("blocks refused", accepted == 0);
    check.expect("block intact", free(block) == 0);
}

void check_places(checks& check) {
    u64 accepted = 0;
    for (const u64 address : BAD) {
        const bool is_free_place = address == 0x40000000;
        accepted += !is_free_place && call(system_call::mmap, address, 4096, READ) != 0;
    }
    check.expect("places refused", accepted == 0);
    const u64 end = brk(0);
    for (const u64 address : BAD) {
        accepted += brk(address) != end;
    }
    check.expect("ends refused", accepted == 0);
}

// A system call with something impossible in rsp; the kernel must neither use it nor lose it.
u64 call_with_stack(u64 stack) {
    u64 result = static_cast<u64>(system_call::brk);
    u64 after = 0;
    asm volatile(
        "movq %%rsp, %%r12\n\t"
        "movq %[stack], %%rsp\n\t"
        "syscall\n\t"
        "movq %%rsp, %[after]\n\t"
        "movq %%r12, %%rsp"
        : "+a"(result), [after] "=&r"(after)
        : [stack] "r"(stack), "D"(0)
        : "rcx", "r11", "r12", "memory");
    return after == stack ? result : 0;
}

void check_stacks(checks& check) {
    u64 wrong = 0;
    for (const u64 address : BAD) {
        wrong += call_with_stack(address) < 0x8000000;
    }
    check.expect("stacks untouched", wrong == 0);
}

// All flags a process can set, the direction flag among them.
void check_flags(checks& check) {
    u64 kept;
    asm volatile(
        "pushfq\n\t"
        "orq $0x244400, (%%rsp)\n\t"  // direction, nested task, alignment check, identification
        "popfq\n\t"
        "syscall\n\t"
        "pushfq\n\t"
        "popq %0\n\t"
        "pushq $2\n\t"
        "popfq"
        : "=&r"(kept)
        : "a"(static_cast<u64>(system_call::brk)), "D"(0)
        : "rcx", "r11", "memory", "cc");
    check.expect("flags kept", (kept & 0x4400) == 0x4400);
}

}  // namespace

int run(const char*) {
    checks check;
    check_write(check);
    check_blocks(check);
    check_places(check);
    check_stacks(check);
    check_flags(check);
    return check.result();
}
