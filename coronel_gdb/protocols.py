"""What a host must supply: memory, registers, symbols. Seven methods in all; two more where it can.

Everything else (translation, decoding, checking, rendering) is shared code above these protocols,
so a debugger, a dump and a simulated machine give equal reports from equal state.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

from model.types import PhysicalAddress, VirtualAddress


class PhysicalMemory(Protocol):
    """The guest's RAM and ROM by physical address."""

    def read(self, address: PhysicalAddress, size_bytes: int) -> bytes:
        """Exactly `size_bytes` bytes; `ReadFault` when any of them is outside RAM and ROM or unreadable."""

    def describe(self) -> str:
        """The route that the bytes take, for `coronel status`."""


class Target(Protocol):
    """A stopped machine. Nothing in it is ever written."""

    @property
    def memory(self) -> PhysicalMemory:
        """Physical memory; `TargetError` when there is no target, it runs, or no route exists."""

    def register(self, name: str) -> int:
        """Value of a register (`cr0 cr2 cr3 cr4 efer rip`); `TargetError` when it cannot be had."""

    def symbol(self, name: str) -> VirtualAddress | None:
        """Address of a static symbol by its C++ name, None when the kernel has none of that name."""

    def evaluate(self, expression: str) -> int:
        """Value of an expression of the user's; `UsageError` with the host's reason otherwise."""

    def kernel(self) -> Path | None:
        """The kernel's ELF file, None when the host has none."""

    def facts(self) -> Sequence[tuple[str, str]]:
        """Rows (what, value) about the host for `coronel status`: its name, versions, connection."""


@runtime_checkable
class HasMonitor(Protocol):
    """What a `Target` behind a running QEMU has besides; ask by `isinstance`, a dump has none."""

    long_answers: bool
    """Whether thousands of lines come at once. Through a stub each is a packet, and 70,000 never end."""

    def monitor(self, command: str) -> str:
        """What QEMU's monitor for people answers; `TargetError` when none does."""


@runtime_checkable
class HasPhysicalBits(Protocol):
    """What a `Target` has that was told MAXPHYADDR; ask by `isinstance`."""

    def physical_bits(self) -> int | None:
        """The number of physical address bits, None when it is not known."""


@runtime_checkable
class HasMemoryMap(Protocol):
    """What a `PhysicalMemory` has that knows what lies at every address; ask by `isinstance`."""

    def lies_in(self, address: PhysicalAddress) -> str | None:
        """Kind and name of what is there (`RAM pc.ram`, `ROM pc.bios`, `device hpet`), None for nothing."""
