"""The kernels in C of qemu/kernels, stopped where their tests look at them."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lab.gdbmi import Gdb
from lab.machine import Machine
from lab.paths import GDB_SCRIPT, ROOT
from lab.stopped import BOOT_SECONDS, Stopped

LOADED, STRUCK = 1, 2
"""Arrivals at their function `checkpoint`: after the load, and after the bug."""
BUILD = ROOT / "build"
MEMORY = "32M"


def elf(name: str) -> Path:
    """The kernel with its DWARF, for a debugger."""
    return BUILD / name / f"{name}.elf"


@contextmanager
def at(name: str, append: str, arrival: int, **options: Any) -> Iterator[Stopped]:
    """Boot the kernel of that name with a command line, `bug=overflow seed=2`, and stop at that arrival."""
    boot = BUILD / name / f"{name}.boot.elf"
    with (
        Machine(boot, append, memory=MEMORY, paused=True, **options) as machine,
        Gdb(script=GDB_SCRIPT) as gdb,
    ):
        gdb.attach(machine.gdb_socket, elf(name))
        for _ in range(arrival):
            gdb.run_to("checkpoint", BOOT_SECONDS)
        yield Stopped(machine, gdb)
