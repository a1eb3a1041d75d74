# A read that may fail. vectors.S lets an exception of probe_load go on at probe_failed.

    .cfi_sections .debug_frame
    .text

    .balign 16
    .globl probe_byte, probe_load, probe_failed
    .type probe_byte, @function
probe_byte:
    .cfi_startproc
probe_load:
    movzbl  (%rdi), %eax
    movl    $1, %eax
    ret
probe_failed:
    xorl    %eax, %eax
    ret
    .cfi_endproc
    .size probe_byte, . - probe_byte

    .section .note.GNU-stack, "", @progbits
