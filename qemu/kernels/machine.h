#pragma once

#include "types.h"

// What the boot loader left, as far as these kernels ask.
struct boot {
    u64 ram_end;       // physical, behind the RAM that begins at 1 MiB
    char words[256];  // the command line: NAME=VALUE, separated by spaces
};

// Called by ../kernel/boot.S with the physical address of the multiboot information.
void kernel_prepare(u64 info);
_Noreturn void kernel_main(u64 info);

void read_boot(struct boot* boot, u64 info);

// The value of a word of the command line, copied and ended with a zero; "" when there is none.
void option(const struct boot* boot, const char* name, char* value, u64 size);
u64 option_number(const struct boot* boot, const char* name, u64 otherwise);

void print(const char* line);
_Noreturn void stop(void);

// Where a debugger stops: 1 the load is done, 2 the bug has struck.
void coronel_checkpoint(u64 number);
