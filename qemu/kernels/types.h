#pragma once

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long u64;

#define NULL ((void*)0)
#define PAGE 4096UL

// Where the linker script puts physical address 0, and what boot.S maps there: the first GiB.
#define KERNEL_BASE 0xffffffff80000000UL

static inline u64 round_up(u64 value, u64 alignment) { return (value + alignment - 1) / alignment * alignment; }
