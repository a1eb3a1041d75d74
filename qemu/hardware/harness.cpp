// Runs the vectors: for every case writes the tables, sets the CPU up, accesses, and notes what happened.
//
// It judges nothing: qemu/lab/hardware predicts and compares.

#include "layout.h"

using u8 = unsigned char;
using u16 = unsigned short;
using u32 = unsigned int;
using u64 = unsigned long;

namespace {

enum Flag : u32 {
    WP = 1 << 0, NXE = 1 << 1, PGE = 1 << 2, SMEP = 1 << 3, SMAP = 1 << 4, PKE = 1 << 5, PKS = 1 << 6,
    AC = 1 << 7, CPL3 = 1 << 8,
};

constexpr u32 KIND_LOAD = 5;
constexpr u32 FETCH = 4;
constexpr u32 NO_EXCEPTION = 255;
constexpr u64 ACCESSED_DIRTY = 0x60;

struct Header {
    u32 magic;
    u32 spare;
    u32 la57;
    u32 to_port;      // results go to port e9, then the machine is shut down by port 8900 (Bochs)
    u64 groups;
    u64 size_bytes;   // of all vectors, this header included
    u64 progress;     // cases that were begun
};
static_assert(sizeof(Header) == 40);

struct Entry {
    u64 address;
    u64 value;
};

struct Case {
    u32 flags;
    u32 kind;
    u32 pkru;
    u32 pkrs;
};

struct Group {
    u64 linear;
    u64 cr3;
    u64 hint[2];        // physical addresses that are to hold these values; 0: none
    u64 hint_value[2];
    u64 write_value;
    u32 entries;
    u32 cases;
    // Entry[entries], Case[cases]
};
static_assert(sizeof(Group) == 64);

enum class Where : u8 { ACCESS, TARGET, SUCCESS, ELSEWHERE, LOAD_LDT };

struct Result {
    u64 cr2;
    u64 value;
    u64 after[2];   // the words at `hint`
    u32 error;
    u8 vector;
    u8 cpl;
    Where where;
    u8 spare;
    u32 flags;      // A and D of every entry: two bits each, entry 0 lowest
    u32 changed;    // entries of which other bits changed: one bit each
};
static_assert(sizeof(Result) == 48);

struct [[gnu::packed]] Tss {
    u32 reserved;
    u64 rsp0;
    u8 rest[92];
};

struct Gate {
    u16 offset_low;
    u16 selector;
    u16 type;
    u16 offset_middle;
    u32 offset_high;
    u32 zero;
};

struct [[gnu::packed]] Pointer {
    u16 limit;
    u64 base;
};

alignas(16) u8 exception_stack[8192];
alignas(16) Tss tss;
alignas(16) Gate idt[32];
u64 cr0_now = CR0_KERNEL, cr4_kernel, cr4_now, efer_kernel, efer_now;

template <typename T>
T* physical(u64 address) {
    return reinterpret_cast<T*>(PHYSICAL_MAP + address);
}

void write_msr(u32 number, u64 value) {
    asm volatile("wrmsr" : : "c"(number), "a"(static_cast<u32>(value)), "d"(static_cast<u32>(value >> 32)));
}

u64 read_msr(u32 number) {
    u32 low, high;
    asm volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(number));
    return static_cast<u64>(high) << 32 | low;
}

void out8(u16 port, u8 value) {
    asm volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}

}  // namespace

extern "C" {
extern u64 gdt[], boot_information, kernel_root;
extern u64 seen_vector, seen_error, seen_cr2, seen_rip, seen_cs, seen_value;
extern const u64 kernel_stubs[], user_stubs[];
extern u8 exception_entries[], kernel_pdpt[], kernel_pml4[];
void perform(u64 linear, u64 value, u64 ac, u64 kind, u64 cpl3);
void harness();
}

namespace {

// A system descriptor of 64-bit mode is two words (SDM vol. 3A figure 3-8, 7-4).
void system_descriptor(u32 selector, u64 base, u64 limit, u64 type) {
    u64* at = gdt + selector / 8;
    at[0] = limit | (base & 0xffffff) << 16 | (type | 0x80) << 40 | (base >> 24 & 0xff) << 56;
    at[1] = base >> 32;
}

void set_up_exceptions() {
    for (u64 number = 0; number < 32; ++number) {
        const u64 entry = reinterpret_cast<u64>(exception_entries) + 16 * number;
        idt[number] = {static_cast<u16>(entry), CODE64, 0x8e00, static_cast<u16>(entry >> 16),
                       static_cast<u32>(entry >> 32), 0};
    }
    tss.rsp0 = reinterpret_cast<u64>(exception_stack + sizeof exception_stack);
    system_descriptor(TSS, reinterpret_cast<u64>(&tss), sizeof tss - 1, 9);
    asm volatile("ltr %w0" : : "r"(TSS));
    const Pointer pointer{sizeof idt - 1, reinterpret_cast<u64>(idt)};
    asm volatile("lidt %0" : : "m"(pointer));
}

void set_cr0(u64 value) {
    if (value != cr0_now) {
        asm volatile("mov %0, %%cr0" : : "r"(value) : "memory");
        cr0_now = value;
    }
}

void set_cr4(u64 value) {
    if (value != cr4_now) {
        asm volatile("mov %0, %%cr4" : : "r"(value) : "memory");
        cr4_now = value;
    }
}

void set_efer(u64 value) {
    if (value != efer_now) {
        write_msr(MSR_EFER, value);
        efer_now = value;
    }
}

void set_cr3(u64 value) {
    asm volatile("mov %0, %%cr3" : : "r"(value) : "memory");
}

// The CPU as the case wants it; CR3 last, as it flushes what earlier cases left in the TLB. Only the state
// of the case counts: a value of an earlier one that stays behind is switched off by its enable bit.
void set_up(const Case& test, u64 cr3) {
    const u32 flags = test.flags;
    u64 cr4 = cr4_kernel;
    cr4 |= (flags & PGE ? CR4_PGE : 0) | (flags & SMEP ? CR4_SMEP : 0) | (flags & SMAP ? CR4_SMAP : 0);
    cr4 |= (flags & PKE ? CR4_PKE : 0) | (flags & PKS ? CR4_PKS : 0);
    if (cr4_now & CR4_PGE) {
        set_cr4(cr4_kernel);    // clearing PGE flushes global pages too
    }
    set_efer(flags & NXE ? efer_kernel | EFER_NXE : efer_kernel & ~static_cast<u64>(EFER_NXE));
    set_cr0(flags & WP ? CR0_KERNEL : CR0_KERNEL & ~static_cast<u64>(CR0_WP));
    if (flags & PKS) {
        write_msr(MSR_PKRS, test.pkrs);
    }
    set_cr4(cr4);
    if (flags & PKE) {
        asm volatile("wrpkru" : : "a"(test.pkru), "c"(0), "d"(0));
    }
    set_cr3(cr3);
}

Where where(const Group& group, const Case& test) {
    const u64 access = (test.flags & CPL3 ? user_stubs : kernel_stubs)[test.kind];
    if (seen_rip == access) {
        return Where::ACCESS;
    }
    if (seen_rip == group.linear) {
        return Where::TARGET;
    }
    // `ud2` stands behind an instruction of 2, 3 or (with its prefixes) 5 bytes.
    const u64 past = seen_rip - access;
    return seen_vector == 6 && past >= 2 && past <= 5 ? Where::SUCCESS : Where::ELSEWHERE;
}

void run(const Group& group, const Entry* entries, const Case& test, Result& result) {
    for (u32 index = 0; index < group.entries; ++index) {
        *physical<volatile u64>(entries[index].address) = entries[index].value;
    }
    for (u32 index = 0; index < 2; ++index) {
        if (group.hint[index]) {
            volatile u64* word = physical<volatile u64>(group.hint[index]);
            // A write to code makes an emulator translate it again: only where it is needed.
            if (*word != group.hint_value[index]) {
                *word = group.hint_value[index];
            }
        }
    }
    if (test.kind == KIND_LOAD) {
        system_descriptor(LDT, group.linear, 0xfff, 2);
    }
    set_up(test, group.cr3);
    seen_cr2 = seen_error = seen_rip = seen_cs = 0;
    if (test.kind == KIND_LOAD) {
        asm volatile("lldt %w0" : : "r"(LDT));
    }
    perform(group.linear, group.write_value, test.flags & AC ? RFLAGS_AC : 0, test.kind, test.flags & CPL3);
    result.cr2 = seen_cr2;
    result.value = seen_value;
    result.error = static_cast<u32>(seen_error);
    result.vector = static_cast<u8>(seen_vector);
    result.cpl = seen_vector == NO_EXCEPTION ? 0 : static_cast<u8>(seen_cs & 3);
    result.where = seen_vector == NO_EXCEPTION ? Where::SUCCESS : where(group, test);
    result.spare = 0;
    for (u32 index = 0; index < 2; ++index) {
        result.after[index] = group.hint[index] ? *physical<volatile u64>(group.hint[index]) : 0;
    }
    u32 flags = 0, changed = 0;
    for (u32 index = 0; index < group.entries; ++index) {
        const u64 now = *physical<volatile u64>(entries[index].address);
        flags |= static_cast<u32>((now & ACCESSED_DIRTY) >> 5) << (2 * index);
        changed |= ((now ^ entries[index].value) & ~ACCESSED_DIRTY ? 1u : 0u) << index;
    }
    result.flags = flags;
    result.changed = changed;
}

// The slot of the top table that holds the harness itself; tests own all the others.
u64 own_slot(u64 cr3) {
    return (cr3 & 0xfffffffff000) + 8 * 511;
}

u64 own_entry() {
    const u8* table = cr4_kernel & CR4_LA57 ? kernel_pml4 : kernel_pdpt;
    return reinterpret_cast<u64>(table) - KERNEL_BASE + 0x27;
}

void leave_group(const Group& group, const Entry* entries) {
    set_cr3(kernel_root);
    *physical<u64>(own_slot(group.cr3)) = 0;
    for (u32 index = 0; index < group.entries; ++index) {
        *physical<u64>(entries[index].address) = 0;
    }
    for (const u64 hint : group.hint) {
        if (hint) {
            *physical<u64>(hint) = 0;
        }
    }
}

// The vectors of a boot module, moved to their place; the test RAM behind them becomes zero.
void take_module() {
    struct Module {
        u32 start, end, text, zero;
    };
    const u32* information = physical<u32>(boot_information);
    const Module* module = physical<Module>(information[6]);
    const u8* from = physical<u8>(module->start);
    u8* to = physical<u8>(VECTORS);
    u64 count = module->end - module->start;
    if (to < from) {
        asm volatile("rep movsb" : "+S"(from), "+D"(to), "+c"(count) : : "memory");
    } else {
        from += count - 1;
        to += count - 1;
        asm volatile("std; rep movsb; cld" : "+S"(from), "+D"(to), "+c"(count) : : "memory");
    }
    u8* ram = physical<u8>(TEST_RAM);
    u64 size = VECTORS - TEST_RAM;
    asm volatile("rep stosb" : "+D"(ram), "+c"(size) : "a"(0) : "memory");
}

void send(const Result* results, u64 count) {
    for (const char* letter = "coronel-results:"; *letter; ++letter) {
        out8(0xe9, static_cast<u8>(*letter));
    }
    const u8* at = reinterpret_cast<const u8*>(results);
    u64 size = count * sizeof(Result);
    asm volatile("rep outsb" : "+S"(at), "+c"(size) : "d"(0xe9) : "memory");
    for (const char* letter = "Shutdown"; *letter; ++letter) {
        out8(0x8900, static_cast<u8>(*letter));
    }
}

}  // namespace

void harness() {
    asm volatile("mov %%cr4, %0" : "=r"(cr4_kernel));
    cr4_now = cr4_kernel;
    efer_kernel = efer_now = read_msr(MSR_EFER);
    set_up_exceptions();
    Header* header = physical<Header>(VECTORS);
    if (header->magic != MAGIC) {
        take_module();
    }
    const u8* at = reinterpret_cast<const u8*>(header + 1);
    Result* result = physical<Result>(RESULTS);
    u64 done = 0;
    for (u64 number = 0; number < header->groups; ++number) {
        const Group& group = *reinterpret_cast<const Group*>(at);
        const Entry* entries = reinterpret_cast<const Entry*>(&group + 1);
        const Case* cases = reinterpret_cast<const Case*>(entries + group.entries);
        u64* slot = physical<u64>(own_slot(group.cr3));
        *slot = own_entry();
        for (u32 index = 0; index < group.cases; ++index) {
            header->progress = ++done;
            run(group, entries, cases[index], *result++);
        }
        leave_group(group, entries);
        at = reinterpret_cast<const u8*>(cases + group.cases);
    }
    if (header->to_port) {
        send(physical<Result>(RESULTS), done);
    }
    asm volatile("outl %0, %1" : : "a"(0x10), "Nd"(static_cast<u16>(0xf4)));
}
