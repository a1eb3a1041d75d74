"""The kernels in C of qemu/kernels: stopped, and what they noted of their own bug, which judges a report."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lab.gdbmi import Gdb
from lab.paths import ROOT
from lab.stopped import Stopped, at_checkpoint

LOADED, STRUCK = 1, 2
"""Their checkpoints: after the load, and after the bug."""
MEMORY = "32M"


def elf(name: str) -> Path:
    """The kernel of that name with its DWARF."""
    return ROOT / "build" / name / f"{name}.elf"


@contextmanager
def at(name: str, append: str, number: int) -> Iterator[Stopped]:
    """The kernel of that name, booted with `bug=overflow` or the like, at its checkpoint `number`."""
    boot = elf(name).with_suffix(".boot.elf")
    with at_checkpoint(number, append, elf=elf(name), boot_elf=boot, memory=MEMORY) as stopped:
        yield stopped


@dataclass(frozen=True)
class Truth:
    """The damaged page or chunk, the one whose owner did it, and the bytes that were written."""

    victim: int
    culprit: int
    address: int
    before: bytes
    after: bytes

    @property
    def end(self) -> int:
        """Behind the last byte that was written."""
        return self.address + len(self.after)

    @property
    def changed(self) -> tuple[int, int]:
        """Addresses [first, end) of the bytes that are others than before."""
        differ = [index for index, byte in enumerate(self.after) if byte != self.before[index]]
        return self.address + differ[0], self.address + differ[-1] + 1


def truth(gdb: Gdb) -> Truth:
    """Read by GDB itself, not by the tool that is tested."""
    victim, culprit, address, length = (
        gdb.evaluate(f"g_truth.{name}") for name in ("victim", "culprit", "address", "length")
    )
    before, after = (
        bytes(gdb.evaluate(f"g_truth.{name}[{index}]") for index in range(length))
        for name in ("before", "after")
    )
    return Truth(victim, culprit, address, before, after)
