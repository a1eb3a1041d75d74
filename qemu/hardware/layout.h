// What the host, the assembly and the C++ of the harness agree on. qemu/lab/hardware/vectors.py has the same.
#pragma once

#define KERNEL_BASE 0xffffffff80000000
#define PHYSICAL_MAP 0xffffff8000000000
#define USER_PAGE 0xffffffff40000000

// Physical addresses.
#define TEST_RAM 0x1000000
#define VECTORS 0x10000000
#define RESULTS 0x18000000
#define MAGIC 0x4b4c4157

#define CODE64 0x08
#define DATA 0x10
#define USER_DATA 0x1b
#define USER_CODE 0x23
#define TSS 0x28
#define LDT 0x38

#define CR0_KERNEL 0x80010031
#define CR0_WP 0x10000
#define CR4_KERNEL 0x20
#define CR4_PGE 0x80
#define CR4_LA57 0x1000
#define CR4_SMEP 0x100000
#define CR4_SMAP 0x200000
#define CR4_PKE 0x400000
#define CR4_PKS 0x1000000
#define MSR_EFER 0xc0000080
#define MSR_PKRS 0x6e1
#define EFER_LME 0x100
#define EFER_NXE 0x800
#define RFLAGS_AC 0x40000
