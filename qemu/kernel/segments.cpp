#include "segments.hpp"

#include "cpu.hpp"
#include "cpu_local.hpp"

namespace segments {

namespace {

constexpr u16 TASK_SEGMENT = 0x28;
constexpr u16 FAULT_STACK = 1;  // which of the task's seven

// Those that may come when the stack in use cannot be trusted: NMI, double fault, machine check.
constexpr u64 ON_FAULT_STACK = 1U << 2 | 1U << 8 | 1U << 18;

// SDM vol. 3A, 7.7: 64-bit values at odd multiples of 4, hence in halves.
struct task_state {
    u32 reserved_0;
    u32 privilege_stacks[3][2];
    u32 reserved_28[2];
    u32 interrupt_stacks[7][2];
    u32 reserved_92[2];
    u16 reserved_100;
    u16 io_map;
};
static_assert(sizeof(task_state) == 104);

// SDM vol. 3A, 6.14.1.
struct gate {
    u16 handler_0;
    u16 segment;
    u16 stack;
    u16 handler_16;
    u32 handler_32;
    u32 reserved;
};
static_assert(sizeof(gate) == 16);

static_assert(offsetof(gate, stack) == 4);

constexpr u16 INTERRUPT_GATE = 0x8E00;  // present, privilege 0, interrupts off

// What LGDT and LIDT read: the limit stands in the last two bytes of `limit`.
struct table_pointer {
    u16 unused[3];
    u16 limit;
    u64 base;

    const void* operand() const { return &limit; }
};
static_assert(offsetof(table_pointer, base) == offsetof(table_pointer, limit) + 2);

// What every CPU has of its own (docs/spec.md 13.3).
struct tables {
    u8 fault_stack[16 * 1024];
    task_state task;
    u64 gdt[cpu::FIRST_TASK_SEGMENT / 8 + 2 * MAX_CPUS] = {
        0,
        0x00af9b000000ffff,  // KERNEL_CODE: 64-bit code, accessed
        0x00cf93000000ffff,  // KERNEL_DATA
        0x00cff3000000ffff,  // USER_DATA: for ring 3
        0x00affb000000ffff,  // USER_CODE
        // two entries a CPU for its task segment, of which each CPU describes its own
    };
};

alignas(16) constinit tables g_tables[MAX_CPUS] = {};
constinit gate g_idt[EXCEPTIONS] = {};

constexpr u16 task_segment(u64 cpu) {
    return static_cast<u16>(cpu::FIRST_TASK_SEGMENT + cpu::TASK_SEGMENT_BYTES * cpu);
}

// SDM vol. 3A, 7.2.3.
void describe_task(tables& own, u16 selector) {
    constexpr u64 present_available_64_bit_task = 0x89;
    const u64 base = vaddr_t{&own.task}.value();
    const u64 limit = sizeof own.task - 1;
    own.gdt[selector / 8] = limit | (base & 0xFFFFFF) << 16 | present_available_64_bit_task << 40 |
                            (base >> 24 & 0xFF) << 56;
    own.gdt[selector / 8 + 1] = base >> 32;
}

void set_stack(u32 (&halves)[2], vaddr_t top) {
    halves[0] = static_cast<u32>(top.value());
    halves[1] = static_cast<u32>(top.value() >> 32);
}

void describe_stacks(tables& own) {
    set_stack(own.task.interrupt_stacks[FAULT_STACK - 1],
              vaddr_t{own.fault_stack + sizeof own.fault_stack});
    own.task.io_map = sizeof own.task;  // none
}

gate gate_to(u64 handler, u16 stack) {
    return {static_cast<u16>(handler),
            KERNEL_CODE,
            static_cast<u16>(INTERRUPT_GATE | stack),
            static_cast<u16>(handler >> 16),
            static_cast<u32>(handler >> 32),
            0};
}

}  // namespace

void initialize(const u64 (&vectors)[EXCEPTIONS], u64 cpu) {
    tables& own = g_tables[cpu];
    describe_task(own, task_segment(cpu));
    describe_stacks(own);
    for (u64 number = 0; number < EXCEPTIONS; ++number) {
        const bool apart = (ON_FAULT_STACK >> number) % 2 != 0;
        g_idt[number] = gate_to(vectors[number], apart ? FAULT_STACK : 0);
    }

    const table_pointer gdt{{}, sizeof own.gdt - 1, vaddr_t{own.gdt}.value()};
    const table_pointer idt{{}, sizeof g_idt - 1, vaddr_t{g_idt}.value()};
    asm volatile("lgdt (%0)" : : "r"(gdt.operand()) : "memory");
    asm volatile("ltr %0" : : "r"(task_segment(cpu)) : "memory");
    asm volatile("lidt (%0)" : : "r"(idt.operand()) : "memory");
}

void set_trap_stack(vaddr_t top) {
    set_stack(g_tables[cpu::index()].task.privilege_stacks[0], top);
}

bool is_fault_stack(vaddr_t start, u64 size) {
    const tables& own = g_tables[cpu::index()];
    const vaddr_t bottom{own.fault_stack};
    return bottom <= start && start <= bottom + (sizeof own.fault_stack - size);
}

}  // namespace segments
