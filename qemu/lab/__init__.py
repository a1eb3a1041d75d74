"""The laboratory: boots a kernel in QEMU and drives GDB, for the tests, the demo and the debug session.

errors      what can fail here
processes   start and end a child process; hold signals back while that is half done
monitor     QEMU's machine protocol (QMP), synchronous
machine     one booted QEMU, its sockets and its serial log
gdbmi       one GDB, spoken to through its machine interface
paths       where the checkout keeps the kernel and the GDB script
surface     what the front ends share: signals, errors, exit codes
linux       a Debian kernel as a guest, fetched and unpacked into build/linux
demo debug  the front ends: `python -m lab demo`, `python -m lab debug`
terminal    hand the terminal to a child, and take it back
"""
