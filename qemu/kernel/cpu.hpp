#pragma once

#include "address.hpp"
#include "lib/integers.hpp"

// The instructions C++ has no words for.
namespace cpu {

enum class interrupts { off, on };

inline void pause() { asm volatile("pause"); }

// docs/spec.md 1.3: stopping is final.
[[noreturn]] inline void stop() {
    for (;;) {
        asm volatile("cli; hlt" : : : "memory");
    }
}

inline interrupts interrupts_off() {
    constexpr u64 interrupt_flag = 1U << 9;
    u64 flags;
    asm volatile("pushfq; popq %0; cli" : "=r"(flags) : : "memory");
    return (flags & interrupt_flag) != 0 ? interrupts::on : interrupts::off;
}

inline void restore_interrupts(interrupts before) {
    if (before == interrupts::on) {
        asm volatile("sti" : : : "memory");
    }
}

inline void out8(u16 port, u8 value) { asm volatile("outb %0, %1" : : "a"(value), "Nd"(port)); }

inline void out32(u16 port, u32 value) { asm volatile("outl %0, %1" : : "a"(value), "Nd"(port)); }

inline u8 in8(u16 port) {
    u8 value;
    asm volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}

inline u64 read_cr2() {
    u64 value;
    asm volatile("movq %%cr2, %0" : "=r"(value));
    return value;
}

inline u64 read_cr0() {
    u64 value;
    asm volatile("movq %%cr0, %0" : "=r"(value));
    return value;
}

inline void write_cr0(u64 value) { asm volatile("movq %0, %%cr0" : : "r"(value) : "memory"); }

inline u64 read_cr4() {
    u64 value;
    asm volatile("movq %%cr4, %0" : "=r"(value));
    return value;
}

inline void write_cr4(u64 value) { asm volatile("movq %0, %%cr4" : : "r"(value) : "memory"); }

inline u64 read_msr(u32 which) {
    u32 low;
    u32 high;
    asm volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(which));
    return u64{high} << 32 | low;
}

inline void write_msr(u32 which, u64 value) {
    asm volatile("wrmsr"
                 :
                 : "a"(static_cast<u32>(value)), "d"(static_cast<u32>(value >> 32)), "c"(which)
                 : "memory");
}

// What CPUID says of a leaf, subleaf 0.
struct identification {
    u32 eax;
    u32 ebx;
    u32 ecx;
    u32 edx;
};

inline identification id(u32 leaf) {
    identification read{};
    asm volatile("cpuid"
                 : "=a"(read.eax), "=b"(read.ebx), "=c"(read.ecx), "=d"(read.edx)
                 : "a"(leaf), "c"(0));
    return read;
}

inline paddr_t page_directory() {
    u64 value;
    asm volatile("movq %%cr3, %0" : "=r"(value));
    return paddr_t{value};
}

// Also forgets every translation the CPU remembers: nothing of this kernel is global.
inline void load_page_directory(paddr_t directory) {
    asm volatile("movq %0, %%cr3" : : "r"(directory.value()) : "memory");
}

inline void forget_page(vaddr_t page) {
    asm volatile("invlpg (%0)" : : "r"(page.value()) : "memory");
}

// The task segment of CPU 0; that of the next one lies two entries further (segments.cpp). Nobody
// else loads the task register, and nothing is asked of memory.
inline constexpr u16 FIRST_TASK_SEGMENT = 0x28;
inline constexpr u16 TASK_SEGMENT_BYTES = 0x10;

// The number of the CPU that asks. Before it has a task segment there is only CPU 0.
inline u64 index() {
    u64 task;
    asm("str %0" : "=r"(task));
    return task < FIRST_TASK_SEGMENT ? 0 : (task - FIRST_TASK_SEGMENT) / TASK_SEGMENT_BYTES;
}

}  // namespace cpu
