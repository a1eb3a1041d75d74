#include "machine.h"

#include "bytes.h"

#define COM1 0x3f8
#define LINE_STATUS (COM1 + 5)
#define ROOM 0x20

// Multiboot 1: flags, mem_lower, mem_upper (KiB from 1 MiB), boot_device, cmdline.
enum { FLAGS, MEMORY_LOWER, MEMORY_UPPER, BOOT_DEVICE, COMMAND_LINE };
enum { HAS_MEMORY = 1 << 0, HAS_COMMAND_LINE = 1 << 2 };

static void out8(u16 port, u8 value) { __asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port)); }

static u8 in8(u16 port) {
    u8 value;
    __asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}

void kernel_prepare(u64 info) {
    (void)info;
    out8(COM1 + 1, 0x00);
    out8(COM1 + 3, 0x80);
    out8(COM1 + 0, 0x01);
    out8(COM1 + 1, 0x00);
    out8(COM1 + 3, 0x03);
    out8(COM1 + 2, 0x07);
    out8(COM1 + 4, 0x03);
}

void print(const char* line) {
    for (; *line != 0; ++line) {
        while ((in8(LINE_STATUS) & ROOM) == 0) {
        }
        out8(COM1, (u8)*line);
    }
}

void stop(void) {
    for (;;) {
        __asm__ volatile("cli; hlt" : : : "memory");
    }
}

__attribute__((noinline)) void coronel_checkpoint(u64 number) { __asm__ volatile("" : : "r"(number) : "memory"); }

void read_boot(struct boot* boot, u64 info) {
    const u32* const words = (const u32*)(KERNEL_BASE + info);
    memset(boot, 0, sizeof *boot);
    if ((words[FLAGS] & HAS_MEMORY) != 0) {
        boot->ram_end = ((u64)words[MEMORY_UPPER] << 10) + (1UL << 20);
    }
    if ((words[FLAGS] & HAS_COMMAND_LINE) != 0) {
        const char* const line = (const char*)(KERNEL_BASE + words[COMMAND_LINE]);
        for (u64 at = 0; at + 1 < sizeof boot->words && line[at] != 0; ++at) {
            boot->words[at] = line[at];
        }
    }
}

// What stands behind `name=` at the beginning of a word, NULL when no word has that name.
static const char* find(const struct boot* boot, const char* name) {
    for (const char* word = boot->words; *word != 0;) {
        const char* at = word;
        const char* wanted = name;
        while (*wanted != 0 && *at == *wanted) {
            ++at;
            ++wanted;
        }
        if (*wanted == 0 && *at == '=') {
            return at + 1;
        }
        while (*word != 0 && *word != ' ') {
            ++word;
        }
        while (*word == ' ') {
            ++word;
        }
    }
    return NULL;
}

void option(const struct boot* boot, const char* name, char* value, u64 size) {
    const char* const found = find(boot, name);
    u64 length = 0;
    for (; found != NULL && found[length] != 0 && found[length] != ' ' && length + 1 < size; ++length) {
        value[length] = found[length];
    }
    value[length] = 0;
}

u64 option_number(const struct boot* boot, const char* name, u64 otherwise) {
    const char* at = find(boot, name);
    u64 value = 0;
    if (at == NULL || *at < '0' || *at > '9') {
        return otherwise;
    }
    for (; *at >= '0' && *at <= '9'; ++at) {
        value = value * 10 + (u64)(*at - '0');
    }
    return value;
}
