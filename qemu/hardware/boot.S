// From the boot loader (multiboot 1, flat binary) to 64-bit mode with the harness's own tables.
//
//   kernel_root[511] → kernel_pdpt: [0..7] physical memory (8 GiB), [509] the user page, [510] the image
//
// All supervisor pages are 2 MiB large and have protection key 15, so tests own keys 0 to 14 of PKRS.

#include "layout.h"

#define PHYS(symbol) ((symbol) - KERNEL_BASE)

    .section .boot, "awx"
    .code32
    .align 8
multiboot_header:
    .long 0x1BADB002, 0x00010003, -(0x1BADB002 + 0x00010003)
    .long PHYS(multiboot_header), PHYS(image_start), PHYS(image_end), PHYS(image_end), PHYS(_start)

    .global _start
_start:
    cli
    cld
    movl $PHYS(stack_top), %esp
    movl %ebx, PHYS(boot_information)

    // Entry i of the eight page directories: i << 21, large, present, writable, A and D, key 15.
    movl $PHYS(physical_pds), %edi
    xorl %ecx, %ecx
1:  movl %ecx, %eax
    shll $21, %eax
    orl $0xe3, %eax
    movl %eax, (%edi)
    movl %ecx, %eax
    shrl $11, %eax
    orl $(15 << 27), %eax
    movl %eax, 4(%edi)
    addl $8, %edi
    incl %ecx
    cmpl $(8 * 512), %ecx
    jne 1b

    movl $PHYS(kernel_pdpt), %edi
    movl $(PHYS(physical_pds) + 0x23), %eax
    movl %eax, (510 * 8)(%edi)
    xorl %ecx, %ecx
2:  movl %eax, (%edi, %ecx, 8)
    addl $4096, %eax
    incl %ecx
    cmpl $8, %ecx
    jne 2b
    movl $(PHYS(user_pd) + 0x27), PHYS(kernel_pdpt) + 509 * 8
    movl $(PHYS(user_pt) + 0x27), PHYS(user_pd)
    movl $(PHYS(user_page) + 0x65), PHYS(user_pt)
    movl $(PHYS(kernel_pdpt) + 0x27), PHYS(kernel_pml4)
    movl $(PHYS(kernel_pdpt) + 0x27), PHYS(kernel_pml4) + 511 * 8
    movl $(PHYS(kernel_pml4) + 0x27), PHYS(kernel_pml5)
    movl $(PHYS(kernel_pml4) + 0x27), PHYS(kernel_pml5) + 511 * 8

    // Five levels when the vectors say so. Without vectors there (they are a module) it is four.
    movl $CR4_KERNEL, %eax
    movl $PHYS(kernel_pml4), %ebx
    cmpl $MAGIC, VECTORS
    jne 3f
    testl $1, VECTORS + 8
    jz 3f
    orl $CR4_LA57, %eax
    movl $PHYS(kernel_pml5), %ebx
3:  movl %eax, %cr4
    movl %ebx, %cr3
    movl %ebx, PHYS(kernel_root)
    movl $MSR_EFER, %ecx
    rdmsr
    orl $(EFER_LME | EFER_NXE), %eax
    wrmsr
    movl $CR0_KERNEL, %eax
    movl %eax, %cr0
    lgdt PHYS(gdt_low)
    ljmp $CODE64, $PHYS(4f)

    .code64
4:  movabsq $high, %rax
    jmp *%rax

    .text
high:
    lgdt gdt_high(%rip)
    leaq stack_top(%rip), %rsp
    xorl %eax, %eax
    movw %ax, %ds
    movw %ax, %es
    movw %ax, %fs
    movw %ax, %gs
    movw $DATA, %ax
    movw %ax, %ss
    call harness
5:  hlt
    jmp 5b

    .data
    .align 8
    .word 0, 0, 0
gdt_low:
    .word gdt_end - gdt - 1
    .long PHYS(gdt)
    .align 8
    .word 0, 0, 0
gdt_high:
    .word gdt_end - gdt - 1
    .quad gdt

    .global gdt, boot_information, kernel_root, kernel_pdpt, kernel_pml4
    .align 16
gdt:
    .quad 0
    .quad 0x00af9b000000ffff    // CODE64
    .quad 0x00cf93000000ffff    // DATA
    .quad 0x00cff3000000ffff    // USER_DATA
    .quad 0x00affb000000ffff    // USER_CODE
    .quad 0, 0                  // TSS, filled in by the harness
    .quad 0, 0                  // LDT, the same
gdt_end:
boot_information: .quad 0
kernel_root:      .quad 0

    .bss
    .align 4096
kernel_pml5:  .skip 4096
kernel_pml4:  .skip 4096
kernel_pdpt:  .skip 4096
user_pd:      .skip 4096
user_pt:      .skip 4096
physical_pds: .skip 8 * 4096
stack:        .skip 16384
stack_top:
