#include "user/user_mode.hpp"

#include "cpu.hpp"
#include "cpu_local.hpp"
#include "segments.hpp"

// user_mode.S.
extern "C" void enter_user(exceptions::frame& context);
extern "C" void system_call_entry();

namespace user_mode {

namespace {

// SDM vol. 4, table 2-2.
constexpr u32 MSR_EFER = 0xC0000080;
constexpr u32 MSR_STAR = 0xC0000081;
constexpr u32 MSR_LSTAR = 0xC0000082;
constexpr u32 MSR_FMASK = 0xC0000084;
constexpr u32 MSR_GS_BASE = 0xC0000101;
constexpr u32 MSR_KERNEL_GS_BASE = 0xC0000102;
constexpr u64 EFER_SYSTEM_CALLS = 1U << 0;

// SDM vol. 3A, 2.5.
constexpr u64 CR0_EMULATE_FPU = 1U << 2;
constexpr u64 CR4_SMEP = 1U << 20;
constexpr u64 CR4_SMAP = 1U << 21;

// CPUID leaf 7, EBX.
constexpr u32 CPUID_SMEP = 1U << 7;
constexpr u32 CPUID_SMAP = 1U << 20;

// All that a process can set and the kernel must not run with: trap, interrupt, direction, I/O
// privilege, nested task, alignment check (which SMAP takes for permission).
constexpr u64 FLAGS_CLEARED = 1U << 8 | 1U << 9 | 1U << 10 | 3U << 12 | 1U << 14 | 1U << 18;

// No interrupts: nothing here handles any. The one bit is always set.
constexpr u64 FLAGS_AT_START = 1U << 1;

// Processes have no floating point: its registers would be one process's and then another's.
void forbid_floating_point() { cpu::write_cr0(cpu::read_cr0() | CR0_EMULATE_FPU); }

// docs/spec.md 13.1.
void forbid_user_pages() {
    if (cpu::id(0).eax < 7) {
        return;
    }
    const u32 features = cpu::id(7).ebx;
    cpu::write_cr4(cpu::read_cr4() | ((features & CPUID_SMEP) != 0 ? CR4_SMEP : 0) |
                   ((features & CPUID_SMAP) != 0 ? CR4_SMAP : 0));
}

// SDM vol. 3A, 5.8.8. The upper half of STAR is for sysret, which is not used: iretq checks the
// address it returns to before it leaves ring 0.
void open_system_calls() {
    cpu::write_msr(MSR_STAR, u64{segments::KERNEL_CODE} << 32);
    cpu::write_msr(MSR_LSTAR, reinterpret_cast<u64>(&system_call_entry));
    cpu::write_msr(MSR_FMASK, FLAGS_CLEARED);
    cpu::write_msr(MSR_EFER, cpu::read_msr(MSR_EFER) | EFER_SYSTEM_CALLS);
}

}  // namespace

void initialize() {
    forbid_floating_point();
    forbid_user_pages();
    open_system_calls();
    cpu::write_msr(MSR_GS_BASE, vaddr_t{&g_cpu_locals[cpu::index()]}.value());
    cpu::write_msr(MSR_KERNEL_GS_BASE, 0);
}

void prepare(exceptions::frame& context) {
    context = {};
    context.cs = segments::USER_CODE;
    context.ss = segments::USER_DATA;
    context.rflags = FLAGS_AT_START;
}

void run(exceptions::frame& context) {
    const vaddr_t trap_stack{&context + 1};
    g_cpu_locals[cpu::index()].trap_stack = trap_stack.value();
    segments::set_trap_stack(trap_stack);
    enter_user(context);
}

}  // namespace user_mode
