# The first instructions of a program: the kernel gives the address of the arguments in rdi and an
# aligned stack.

    .section .start, "ax"
    .globl _start
    .type _start, @function
_start:
    xorl    %ebp, %ebp
    call    run
    movl    %eax, %edi
    xorl    %eax, %eax                          # exit
    syscall
    ud2
    .size _start, . - _start

    .section .note.GNU-stack, "", @progbits
