# From the kernel to ring 3 and back. A trap, be it an exception or a system call, leaves the
# process's registers in its context, in the form of exceptions.hpp, and looks to the kernel like
# enter_user coming back.
#
# GS points to cpu_local.hpp in ring 0, to whatever the process has in ring 3. Ring 3 decides what
# is in every register but those that the CPU sets on the way; rsp is its least trustworthy one.

    .cfi_sections .debug_frame
    .text

    .set CPU_KERNEL_RSP, 8                      # cpu_local.hpp
    .set CPU_USER_RSP, 16
    .set CPU_TRAP_STACK, 24

    .set USER_DATA, 0x1b                        # segments.hpp
    .set USER_CODE, 0x23
    .set SYSTEM_CALL, 256                       # user_mode.hpp

    .set FLAGS_OF_THE_KERNEL, 2                 # the bit that is always set

# enter_user(context): rdi points to the frame.
    .balign 16
    .globl enter_user
    .type enter_user, @function
enter_user:
    .cfi_startproc
    pushq   %rbp
    .cfi_adjust_cfa_offset 8
    .cfi_rel_offset rbp, 0
    movq    %rsp, %rbp
    pushq   %rbx
    pushq   %r12
    pushq   %r13
    pushq   %r14
    pushq   %r15
    movq    %rsp, %gs:CPU_KERNEL_RSP

    movq    %rdi, %rsp                          # nothing can interrupt this: interrupts are off
    popq    %r15
    popq    %r14
    popq    %r13
    popq    %r12
    popq    %r11
    popq    %r10
    popq    %r9
    popq    %r8
    popq    %rbp
    popq    %rdi
    popq    %rsi
    popq    %rdx
    popq    %rcx
    popq    %rbx
    popq    %rax
    addq    $16, %rsp                           # vector, error
    swapgs
    iretq
    .cfi_endproc
    .size enter_user, . - enter_user

# `syscall` has put rip into rcx and rflags into r11, and changed nothing else (SDM vol. 2B). Makes
# of it what an exception leaves.
    .balign 16
    .globl system_call_entry
    .type system_call_entry, @function
system_call_entry:
    .cfi_startproc simple
    .cfi_undefined rip                          # ring 3 is nobody's caller
    swapgs
    movq    %rsp, %gs:CPU_USER_RSP
    movq    %gs:CPU_TRAP_STACK, %rsp
    pushq   $USER_DATA
    pushq   %gs:CPU_USER_RSP
    pushq   %r11
    pushq   $USER_CODE
    pushq   %rcx
    pushq   $0
    pushq   $SYSTEM_CALL
    jmp     save_and_return
    .cfi_endproc
    .size system_call_entry, . - system_call_entry

# vectors.S comes here with an exception of ring 3: the CPU and the stub have written the upper
# part of the context.
    .balign 16
    .globl leave_user
    .type leave_user, @function
leave_user:
    .cfi_startproc simple
    .cfi_undefined rip
    swapgs
save_and_return:
    pushq   %rax
    pushq   %rbx
    pushq   %rcx
    pushq   %rdx
    pushq   %rsi
    pushq   %rdi
    pushq   %rbp
    pushq   %r8
    pushq   %r9
    pushq   %r10
    pushq   %r11
    pushq   %r12
    pushq   %r13
    pushq   %r14
    pushq   %r15
    movq    %gs:CPU_KERNEL_RSP, %rsp
    pushq   $FLAGS_OF_THE_KERNEL
    popfq
    popq    %r15
    popq    %r14
    popq    %r13
    popq    %r12
    popq    %rbx
    popq    %rbp
    ret
    .cfi_endproc
    .size leave_user, . - leave_user

    .section .note.GNU-stack, "", @progbits
