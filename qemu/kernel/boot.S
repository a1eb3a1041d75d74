# From the boot loader to the kernel's C++: 32-bit code without paging, then 64-bit code in the
# higher half (docs/spec.md 1.1, 1.2). The 32-bit part runs at physical addresses.

    .set KERNEL_BASE, 0xffffffff80000000

    .set MULTIBOOT_HEADER_MAGIC, 0x1BADB002
    .set MULTIBOOT_FLAGS, 1 << 0 | 1 << 1       # align modules, memory information
    .set MULTIBOOT_LOADER_MAGIC, 0x2BADB002

    .set CPUID_NX, 1 << 20                      # leaf 0x80000001, EDX
    .set CPUID_LONG_MODE, 1 << 29
    .set CR0_WP, 1 << 16
    .set CR0_PG, 1 << 31
    .set CR4_PAE, 1 << 5
    .set MSR_EFER, 0xC0000080
    .set EFER_LME, 1 << 8
    .set EFER_NXE, 1 << 11

    .set ENTRY_PRESENT_WRITABLE, 0x03
    .set ENTRY_LARGE, 0x80
    .set LARGE_PAGE_SIZE, 0x200000

    .set CODE_SEGMENT, 0x08

    .set COM1, 0x3F8

    .cfi_sections .debug_frame

    .section .multiboot, "a"
    .balign 4
    .long MULTIBOOT_HEADER_MAGIC
    .long MULTIBOOT_FLAGS
    .long -(MULTIBOOT_HEADER_MAGIC + MULTIBOOT_FLAGS)

    .section .boot, "ax"
    .code32
    .globl _start
    .type _start, @function
_start:
    cli
    cld
    movl    $(boot_stack_end - KERNEL_BASE), %esp
    movl    %ebx, %ebp                          # multiboot information; cpuid needs ebx
    movl    $(line_no_multiboot - KERNEL_BASE), %esi
    cmpl    $MULTIBOOT_LOADER_MAGIC, %eax
    jne     print_and_stop

    # Long mode and NX, or nothing.
    movl    $(line_old_cpu - KERNEL_BASE), %esi
    movl    $0x80000000, %eax
    cpuid
    cmpl    $0x80000001, %eax
    jb      print_and_stop
    movl    $0x80000001, %eax
    cpuid
    andl    $(CPUID_LONG_MODE | CPUID_NX), %edx
    cmpl    $(CPUID_LONG_MODE | CPUID_NX), %edx
    jne     print_and_stop

    # The early map: [0, 1 GiB) at 0 and at KERNEL_BASE. The tables are zero otherwise (bss).
    movl    $(early_pd - KERNEL_BASE), %edi
    movl    $(ENTRY_LARGE | ENTRY_PRESENT_WRITABLE), %eax
    movl    $512, %ecx
1:  movl    %eax, (%edi)
    addl    $LARGE_PAGE_SIZE, %eax
    addl    $8, %edi
    loop    1b
    movl    $(early_pd - KERNEL_BASE + ENTRY_PRESENT_WRITABLE), %eax
    movl    %eax, early_pdpt_low - KERNEL_BASE
    movl    %eax, early_pdpt_high - KERNEL_BASE + 510 * 8
    movl    $(early_pdpt_low - KERNEL_BASE + ENTRY_PRESENT_WRITABLE), %eax
    movl    %eax, early_pml4 - KERNEL_BASE
    movl    $(early_pdpt_high - KERNEL_BASE + ENTRY_PRESENT_WRITABLE), %eax
    movl    %eax, early_pml4 - KERNEL_BASE + 511 * 8

    # Paging on, in the order of SDM vol. 3A, 9.8.5.
    movl    %cr4, %eax
    orl     $CR4_PAE, %eax
    movl    %eax, %cr4
    movl    $(early_pml4 - KERNEL_BASE), %eax
    movl    %eax, %cr3
    movl    $MSR_EFER, %ecx
    rdmsr
    orl     $(EFER_LME | EFER_NXE), %eax
    wrmsr
    movl    %cr0, %eax
    orl     $(CR0_PG | CR0_WP), %eax
    movl    %eax, %cr0
    lgdt    early_gdt_pointer - KERNEL_BASE
    ljmp    $CODE_SEGMENT, $(long_mode - KERNEL_BASE)

# Prints the line at esi on COM1 and stops.
print_and_stop:
    movl    $(uart_settings - KERNEL_BASE), %edi
2:  movw    (%edi), %dx
    movb    2(%edi), %al
    outb    %al, %dx
    addl    $3, %edi
    cmpl    $(uart_settings_end - KERNEL_BASE), %edi
    jb      2b
3:  movw    $(COM1 + 5), %dx                    # line status
4:  inb     %dx, %al
    testb   $0x20, %al                          # room for a character
    jz      4b
    lodsb
    testb   %al, %al
    jz      5f
    movw    $COM1, %dx
    outb    %al, %dx
    jmp     3b
5:  cli
    hlt
    jmp     5b

    .code64
    .type long_mode, @function
long_mode:
    .cfi_startproc
    .cfi_undefined rip                          # nobody called this
    movabsq $6f, %rax                           # from the low half of the early map to the high one
    jmp     *%rax
6:  xorl    %eax, %eax
    movl    %eax, %ds
    movl    %eax, %es
    movl    %eax, %fs
    movl    %eax, %gs
    movl    %eax, %ss
    movl    %ebp, %ebx                          # clears the upper half, which is undefined here
    xorl    %ebp, %ebp                          # the end of the chain of frames

    # Nothing is known of the RAM under the kernel stack before kernel_prepare has looked.
    movq    $boot_stack_end, %rsp
    movq    %rbx, %rdi
    call    kernel_prepare
    movq    $_stack_end, %rsp
    movq    %rbx, %rdi
    call    kernel_main
    ud2                                         # kernel_main does not return
    .cfi_endproc
    .size _start, . - _start

    .section .rodata.boot, "a"
    .balign 8
early_gdt:
    .quad 0
    .quad 0x00af9b000000ffff                    # CODE_SEGMENT: 64-bit code, accessed
early_gdt_end:
early_gdt_pointer:
    .word early_gdt_end - early_gdt - 1
    .long early_gdt - KERNEL_BASE

line_no_multiboot:
    .asciz "coronel: not started by a multiboot loader\n"
line_old_cpu:
    .asciz "coronel: this CPU has no long mode or no NX\n"

uart_settings:                                  # port, value: as in serial.cpp
    .macro uart offset, value
    .word COM1 + \offset
    .byte \value
    .endm
    uart 1, 0x00
    uart 3, 0x80
    uart 0, 0x01
    uart 1, 0x00
    uart 3, 0x03
    uart 2, 0x07
    uart 4, 0x03
uart_settings_end:

    .bss
    .balign 4096
early_pml4:
    .skip 4096
early_pdpt_low:
    .skip 4096
early_pdpt_high:
    .skip 4096
    .globl early_pd
    .type early_pd, @object
    .size early_pd, 4096
early_pd:
    .skip 4096
boot_stack:
    .skip 8192
boot_stack_end:

    .section .stack, "aw", @nobits
    .skip 65536
    .globl _stack_end
_stack_end:

    .section .note.GNU-stack, "", @progbits
