# Where the CPU goes on an exception: one stub a vector. Each leaves the same frame on the stack
# (exceptions.hpp) and passes it to report_exception; the CFI lets a debugger unwind through it to
# the code that failed. An exception of ring 3 has begun the same frame in the process's context,
# and user/user_mode.S ends it.

    .cfi_sections .debug_frame
    .text

# Vectors for which the CPU pushes an error code: SDM vol. 3A, table 6-1.
    .set WITH_ERROR_CODE, \
    1 << 8 | 1 << 10 | 1 << 11 | 1 << 12 | 1 << 13 | 1 << 14 | 1 << 17 | 1 << 21

# As in segments.cpp: these come on a stack of their own from wherever, and end everything.
    .set ON_FAULT_STACK, 1 << 2 | 1 << 8 | 1 << 18

    .set RING, 3                                # in the selector of the code segment
    .set FRAME_RIP, 16                          # behind vector and error
    .set FRAME_CS, 24

#define ALL_VECTORS \
    0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, \
    16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31

    .macro stub number
    .balign 16
exception_\number:
    .cfi_startproc simple
    .cfi_signal_frame
    .if WITH_ERROR_CODE >> \number & 1
    .cfi_def_cfa rsp, 48
    .else
    .cfi_def_cfa rsp, 40
    .endif
    .cfi_offset rip, -40
    .cfi_offset rsp, -16
    .ifeq WITH_ERROR_CODE >> \number & 1
    pushq   $0
    .cfi_adjust_cfa_offset 8
    .endif
    pushq   $\number
    .cfi_adjust_cfa_offset 8
    .if ON_FAULT_STACK >> \number & 1
    jmp     exception_fatal
    .else
    jmp     exception_common
    .endif
    .cfi_endproc
    .endm

    .irp number, ALL_VECTORS
    stub \number
    .endr

    .macro save register
    pushq   %\register
    .cfi_adjust_cfa_offset 8
    .cfi_rel_offset \register, 0
    .endm

    .balign 16
    .type exception_common, @function
exception_common:
    .cfi_startproc simple
    .cfi_signal_frame
    .cfi_def_cfa rsp, 56
    .cfi_offset rip, -40
    .cfi_offset rsp, -16
    testb   $RING, FRAME_CS(%rsp)
    jnz     leave_user
    cmpq    $probe_load, FRAME_RIP(%rsp)        # probe.S
    jne     1f
    movq    $probe_failed, FRAME_RIP(%rsp)
    addq    $FRAME_RIP, %rsp
    .cfi_adjust_cfa_offset -16
    iretq
    .cfi_adjust_cfa_offset 16
exception_fatal:
    testb   $RING, FRAME_CS(%rsp)
    jz      1f
    swapgs                                      # what cpu_local.hpp says of it holds again
1:  save rax
    save rbx
    save rcx
    save rdx
    save rsi
    save rdi
    save rbp
    save r8
    save r9
    save r10
    save r11
    save r12
    save r13
    save r14
    save r15
    cld
    movq    %rsp, %rdi
    call    report_exception
    ud2                                         # report_exception does not return
    .cfi_endproc
    .size exception_common, . - exception_common

    .section .rodata
    .balign 8
    .globl exception_vectors
    .type exception_vectors, @object
exception_vectors:
    .irp number, ALL_VECTORS
    .quad exception_\number
    .endr
    .size exception_vectors, . - exception_vectors

    .section .note.GNU-stack, "", @progbits
