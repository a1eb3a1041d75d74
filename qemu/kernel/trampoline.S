# The way of the second CPU from its start in real mode to C++ (docs/spec.md 13.3). second_cpu.cpp
# copies it to TRAMPOLINE and fills in the three values at its end. One step from real to long mode:
# SDM vol. 3A, 9.8.5.

    .set TRAMPOLINE, 0x8000                     # as in second_cpu.cpp

    .set CR0_PE_WP_PG, 1 << 0 | 1 << 16 | 1 << 31
    .set CR4_PAE, 1 << 5
    .set MSR_EFER, 0xC0000080
    .set EFER_LME_NXE, 1 << 8 | 1 << 11
    .set CODE_SEGMENT, 0x08

#define AT(label) (TRAMPOLINE + (label) - trampoline)

    .section .rodata
    .balign 16
    .globl trampoline
trampoline:
    .code16
    cli
    cld
    xorw    %ax, %ax
    movw    %ax, %ds
    movw    %ax, %ss
    lgdtl   AT(trampoline_gdt_pointer)
    movl    $CR4_PAE, %eax
    movl    %eax, %cr4
    movl    AT(trampoline_directory), %eax
    movl    %eax, %cr3
    movl    $MSR_EFER, %ecx
    rdmsr
    orl     $EFER_LME_NXE, %eax
    wrmsr
    movl    $CR0_PE_WP_PG, %eax
    movl    %eax, %cr0
    ljmpl   $CODE_SEGMENT, $AT(trampoline_long)

    .code64
trampoline_long:
    xorl    %eax, %eax
    movl    %eax, %ds
    movl    %eax, %es
    movl    %eax, %fs
    movl    %eax, %gs
    movl    %eax, %ss
    xorl    %ebp, %ebp                          # the end of the chain of frames
    movq    AT(trampoline_stack), %rsp
    movq    AT(trampoline_entry), %rax
    call    *%rax
    ud2                                         # it does not return

    .balign 8
trampoline_gdt:
    .quad 0
    .quad 0x00af9b000000ffff                    # CODE_SEGMENT: 64-bit code, accessed
trampoline_gdt_pointer:
    .word . - trampoline_gdt - 1
    .long AT(trampoline_gdt)

    .balign 8
    .globl trampoline_values
trampoline_values:
trampoline_directory:
    .quad 0
trampoline_stack:
    .quad 0
trampoline_entry:
    .quad 0
    .globl trampoline_end
trampoline_end:

    .section .note.GNU-stack, "", @progbits
