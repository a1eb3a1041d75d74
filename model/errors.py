"""How an operation of the model fails: docs/spec.md §8.1, and §1.5 where the kernel stops.

An operation that cannot be done is *refused*. Inside the model a step that refuses gives a `Refusal`
in place of its value; the public operation then counts it, reports it, and gives its caller what the
kernel gives: 0, null or false. Nothing that a caller may pass raises.

Where the real kernel cannot go on at all, the model raises `Stopped`, and the machine is dead:

    Stopped
    ├── BootStopped     the boot ended with a line on the serial port (§3.3, §4.1, §4.2)
    ├── CpuException    an exception, because of an unmapped or read-only address (§1.5)
    └── NoSuchMemory    a physical address where there is no RAM
"""

from dataclasses import dataclass
from enum import IntEnum

from model.types import PhysicalAddress, VirtualAddress


class ErrorKind(IntEnum):
    """`memory::error_kind`, an index into every manager's `errors_` (§8.1)."""

    OUT_OF_MEMORY = 0
    VIRTUAL_SPACE_EXHAUSTED = 1
    CORRUPTION_DETECTED = 2
    DOUBLE_FREE = 3
    INVALID_POINTER = 4

    @property
    def words(self) -> str:
        """The kind as the kernel prints it (§8.1)."""
        return self.name.lower().replace("_", " ")


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why an operation was not done.

    `address` is what the kernel prints (§8.1): the pointer or address refused, the damaged header or node,
    or the number of bytes asked for.
    """

    kind: ErrorKind
    address: int


class Stopped(Exception):
    """The modelled kernel cannot go on; nothing runs on this machine after it."""


class BootStopped(Stopped):
    """The boot ended; `line` is what the kernel prints, without the newline."""

    def __init__(self, line: str) -> None:
        super().__init__(line)
        self.line = line


class CpuException(Stopped):
    """An exception of the processor: `vector` 13 or 14, `error_code` as in SDM vol. 3A §4.7."""

    def __init__(self, vector: int, error_code: int, address: VirtualAddress) -> None:
        super().__init__(f"exception {vector} error {error_code:#x} at {address:#x}")
        self.vector = vector
        self.error_code = error_code
        self.address = address


class NoSuchMemory(Stopped):
    """An access to `size_bytes` at physical `address`, where there is no RAM."""

    def __init__(self, address: PhysicalAddress, size_bytes: int) -> None:
        super().__init__(f"no RAM at physical {address:#x} ({size_bytes} bytes)")
        self.address = address
        self.size_bytes = size_bytes
