#include "checks.hpp"

// One thing a process must not do, named by the argument: it ends there, alone.

namespace {

constexpr u64 KERNEL_TEXT = 0xffffffff80100000;
constexpr u64 KERNEL_STACK = 0xffffffff80330000;
constexpr u64 NOT_CANONICAL = 0x0000900000000000;

constinit u64 g_data = 0xC3;  // ret

void read(u64 address) { static_cast<void>(*reinterpret_cast<const volatile u8*>(address)); }
void write(u64 address) { *reinterpret_cast<volatile u8*>(address) = 1; }
void execute(u64 address) { reinterpret_cast<void (*)()>(address)(); }

void commit(lib::text what) {
    u64 on_stack = 0xC3;
    asm volatile("" : "+m"(on_stack));
    if (what == "null") {
        read(0);
    } else if (what == "null-call") {
        execute(0);
    } else if (what == "write-code") {
        write(reinterpret_cast<u64>(&run));
    } else if (what == "execute-data") {
        execute(address_of(&g_data));
    } else if (what == "execute-stack") {
        execute(address_of(&on_stack));
    } else if (what == "execute-heap") {
        execute(address_of(malloc(16)));
    } else if (what == "write-constant") {
        write(address_of(mmap(0, 4096, READ)));
    } else if (what == "read-kernel") {
        read(KERNEL_TEXT);
    } else if (what == "write-kernel") {
        write(KERNEL_STACK);
    } else if (what == "call-kernel") {
        execute(KERNEL_TEXT);
    } else if (what == "read-window") {
        read(0xffffffffbfe00000);
    } else if (what == "not-canonical") {
        execute(NOT_CANONICAL);
    } else if (what == "halt") {
        asm volatile("hlt");
    } else if (what == "interrupts") {
        asm volatile("cli");
    } else if (what == "port") {
        asm volatile("outb %%al, $0xf4" : : "a"(0));
    } else if (what == "control") {
        asm volatile("movq %0, %%cr3" : : "r"(u64{0}));
    } else if (what == "breakpoint") {
        asm volatile("int3");
    } else if (what == "double-fault") {
        asm volatile("int $8");
    } else if (what == "gate") {
        asm volatile("int $0x80");
    } else if (what == "divide") {
        asm volatile("divl %0" : : "r"(0U), "a"(1), "d"(0));
    } else if (what == "single-step") {
        asm volatile("pushfq; orq $0x100, (%%rsp); popfq; nop" : : : "memory", "cc");
    } else if (what == "floating-point") {
        asm volatile("fldz");
    } else if (what == "vector") {
        asm volatile(".byte 0x0f, 0x57, 0xc0");  // xorps %xmm0, %xmm0
    }
}

}  // namespace

int run(const char* arguments) {
    commit(arguments);
    print("FAIL survived\n");
    return 1;
}
