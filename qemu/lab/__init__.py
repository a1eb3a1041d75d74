"""The laboratory: boots a kernel in QEMU and drives GDB, for the tests, the demo and the debug session.

errors      what can fail here
processes   start and end a child process; hold signals back while that is half done
monitor     QEMU's machine protocol (QMP), synchronous
machine     one booted QEMU, its sockets and its serial log
gdbmi       one GDB, spoken to through its machine interface
paths       where the checkout keeps the kernel and the GDB script
orders      what the kernel's scenario `executor` can be asked for
sequences   write such orders: sequence_writer what they are made of, process_steps what processes do
executor    a kernel that does them, its RAM in shared_ram
modelled    the model that does them, by operations; pair and comparison: where the two differ
surface     what the front ends share: signals, errors, exit codes
demo debug differential  front ends: `python -m lab demo`
bench bench_pages  the figures of `make bench`
documents   README.md and docs/: sessions captured, command lines run, pages written from the code
linux       a Debian kernel as a guest, fetched and unpacked into build/linux
demo debug  the front ends: `python -m lab demo`, `python -m lab debug`
terminal    hand the terminal to a child, and take it back
"""
