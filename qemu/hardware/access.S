// The accesses under test, at CPL 0 and CPL 3, and the one handler of all exceptions.
//
// Every kind is two labels: the instruction that accesses, and where it goes on when it succeeded. At
// CPL 3 that is `ud2`, which comes back as an exception at a known address.

#include "layout.h"

    .text

// void perform(u64 linear [rdi], u64 value [rsi], u64 ac [rdx], u64 kind [rcx], u64 cpl3 [r8])
    .global perform
perform:
    pushq %rbx
    pushq %rbp
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, resume_stack(%rip)
    movq $255, seen_vector(%rip)
    movq %rsi, %rax             // what a write writes
    leaq fetched(%rip), %rsi    // where fetched code jumps to
    movl $7, %ebx               // selector: LDT, entry 0, RPL 3
    testq %r8, %r8
    jnz 1f
    leaq kernel_stubs(%rip), %r9
    movq (%r9, %rcx, 8), %rcx
    pushfq
    orq %rdx, (%rsp)
    popfq
    jmp *%rcx
1:  leaq user_stubs(%rip), %r9
    movq (%r9, %rcx, 8), %rcx
    movabsq $(fetched_user - user_page + USER_PAGE), %rsi
    orq $2, %rdx
    pushq $USER_DATA
    pushq $0
    pushq %rdx
    pushq $USER_CODE
    pushq %rcx
    iretq

fetched:
done:
    movq %rax, seen_value(%rip)
back:
    pushq $2
    popfq
    xorl %eax, %eax
    movw %ax, %fs
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbp
    popq %rbx
    ret

kernel_read1:  movb (%rdi), %al
    jmp done
kernel_read8:  movq (%rdi), %rax
    jmp done
kernel_write1: movb %al, (%rdi)
    jmp done
kernel_write8: movq %rax, (%rdi)
    jmp done
kernel_fetch:  jmp *%rdi
kernel_load:   movw %bx, %fs
    jmp done
kernel_modify: lock xaddq %rax, (%rdi)
    jmp done

    .section .user, "ax"
    .align 4096
    .global user_page
user_page:
user_read1:  movb (%rdi), %al
    ud2
user_read8:  movq (%rdi), %rax
    ud2
user_write1: movb %al, (%rdi)
    ud2
user_write8: movq %rax, (%rdi)
    ud2
user_fetch:  jmp *%rdi
fetched_user:
    ud2
user_load:   movw %bx, %fs
    ud2
user_modify: lock xaddq %rax, (%rdi)
    ud2

#define AT_USER(symbol) (symbol - user_page + USER_PAGE)

    .data
    .align 8
    .global kernel_stubs, user_stubs
kernel_stubs:
    .quad kernel_read1, kernel_read8, kernel_write1, kernel_write8, kernel_fetch, kernel_load, kernel_modify
user_stubs:
    .quad AT_USER(user_read1), AT_USER(user_read8), AT_USER(user_write1), AT_USER(user_write8)
    .quad AT_USER(user_fetch), AT_USER(user_load), AT_USER(user_modify)

    .global seen_vector, seen_error, seen_cr2, seen_rip, seen_cs, seen_value, exception_entries
resume_stack: .quad 0
seen_vector:  .quad 0
seen_error:   .quad 0
seen_cr2:     .quad 0
seen_rip:     .quad 0
seen_cs:      .quad 0
seen_value:   .quad 0

    .text
// Vectors 8, 10 to 14 and 17 come with an error code; the others get 0 for one.
    .align 16
exception_entries:
    .irp number, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, \
        16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31
    .align 16
    .if \number != 8 && (\number < 10 || \number > 14) && \number != 17
    pushq $0
    .endif
    pushq $\number
    jmp exception_common
    .endr

exception_common:
    movq %rax, seen_value(%rip)
    popq seen_vector(%rip)
    popq seen_error(%rip)
    popq seen_rip(%rip)
    popq seen_cs(%rip)
    movq %cr2, %rax
    movq %rax, seen_cr2(%rip)
    movq resume_stack(%rip), %rsp
    jmp back
