"""What a reader makes of a dump file."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from coronel_gdb.dumps.cpu_state import CpuState
from model.types import PhysicalAddress

OUTSIDE = "outside the machine's RAM and ROM"
EXCLUDED = "excluded from the dump"
"""Why a read fails; the third reason, a dump that is truncated or damaged, has words of its own."""


class DumpMemory(Protocol):
    """Guest physical memory in a dump file."""

    def read(self, address: PhysicalAddress, size_bytes: int) -> bytes:
        """Exactly `size_bytes` bytes; `ReadFault` for memory outside RAM, excluded, or lost."""

    def ranges(self) -> Sequence[tuple[int, int]]:
        """Physical [start, end) of what the dump describes, ascending."""


class KernelInside(Protocol):
    """The kernel's ELF file inside a dump."""

    def extract(self, folder: Path) -> Path:
        """Write it into a folder; `DumpError` when that cannot be done."""


@dataclass(frozen=True, slots=True)
class Dump:
    """A recognised file: `form` names the format, `cpus` is empty when it holds no registers.

    `physical_addresses`: the file's segments show a debugger physical addresses as if they were virtual.
    `kernel`: the kernel's file, where the dump holds it; `physical_bits`: MAXPHYADDR, where it says so.
    """

    form: str
    memory: DumpMemory
    cpus: tuple[CpuState, ...] = ()
    facts: tuple[tuple[str, str], ...] = ()
    physical_addresses: bool = field(default=False, kw_only=True)
    kernel: KernelInside | None = field(default=None, kw_only=True)
    physical_bits: int | None = field(default=None, kw_only=True)
