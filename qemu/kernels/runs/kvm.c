#include "kvm.h"

#include "bytes.h"
#include "kalloc.h"
#include "machine.h"

extern char _text_start[], _text_end[], _rodata_start[], _rodata_end[];

#define PRESENT 1UL
#define WRITABLE 2UL
#define LARGE 0x80UL
#define NO_EXECUTE (1UL << 63)
#define LARGE_PAGE (2UL << 20)
#define ENTRIES 512
#define SMALL_PAGES_TO (4UL << 20)  // the image lies below: there each page has its own rights

static u64 physical(const void* address) { return (u64)address - KERNEL_BASE; }

static u64* new_table(void) {
    u64* const table = kalloc();
    if (table == NULL) {
        print("panic: no page for a page table\n");
        stop();
    }
    return memset(table, 0, PAGE);
}

static u64 rights_of(u64 address) {
    if (address >= physical(_text_start) && address < physical(_text_end)) {
        return PRESENT;
    }
    if (address >= physical(_rodata_start) && address < physical(_rodata_end)) {
        return PRESENT | NO_EXECUTE;
    }
    return PRESENT | WRITABLE | NO_EXECUTE;
}

void kvm_enter(void) {
    u64* const top = new_table();
    u64* const upper = new_table();
    u64* const directory = new_table();
    top[511] = physical(upper) | PRESENT | WRITABLE;
    upper[510] = physical(directory) | PRESENT | WRITABLE;
    u64 address = 0;
    for (u64 index = 0; index < ENTRIES; ++index, address += LARGE_PAGE) {
        if (address >= SMALL_PAGES_TO) {
            directory[index] = address | PRESENT | WRITABLE | LARGE | NO_EXECUTE;
            continue;
        }
        u64* const table = new_table();
        directory[index] = physical(table) | PRESENT | WRITABLE;
        for (u64 page = 0; page < ENTRIES; ++page) {
            table[page] = (address + page * PAGE) | rights_of(address + page * PAGE);
        }
    }
    __asm__ volatile("movq %0, %%cr3" : : "r"(physical(top)) : "memory");
}
