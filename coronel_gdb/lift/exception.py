"""The exception a kernel stopped for: its frame, and what a page fault's error code says."""

from dataclasses import dataclass

from coronel_gdb.errors import UsageError
from coronel_gdb.lift.space import AddressSpace
from coronel_gdb.protocols import Target
from model.access import Access, Operation
from model.denial import FETCH_BIT, KEY_BIT, PRESENT_BIT, RESERVED_BIT, USER_BIT, WRITE_BIT
from model.types import VirtualAddress

PAGE_FAULT, DOUBLE_FAULT = 14, 8
_STOP = "coronel_fault_stop"  # docs/spec.md §13.2
_FRAME_BYTES = 176  # §14.2: 15 registers, vector, error code, then what the CPU pushed
_VECTOR = 15 * 8
_NAMES = {
    0: "divide error",
    6: "invalid opcode",
    8: "double fault",
    12: "stack fault",
    13: "general protection",
}
_BITS = (
    (PRESENT_BIT, "P"),
    (WRITE_BIT, "W"),
    (USER_BIT, "U"),
    (RESERVED_BIT, "RSVD"),
    (FETCH_BIT, "I"),
    (KEY_BIT, "PK"),
    (1 << 6, "SS"),
    (1 << 7, "HLAT"),
    (1 << 15, "SGX"),
)


@dataclass(frozen=True, slots=True)
class Taken:
    """An exception as the CPU delivered it; `rip`, `cs`, `rflags` are None when only the code is known."""

    vector: int
    error: int
    rip: int | None = None
    cs: int | None = None
    rflags: int | None = None

    @property
    def name(self) -> str:
        """The vector in words."""
        return f"{_NAMES.get(self.vector, 'exception')} (vector {self.vector})"


def taken_exception(target: Target, space: AddressSpace) -> Taken:
    """The exception that the kernel stopped for; `UsageError` unless it stands in coronel_fault_stop."""
    stop = target.symbol(_STOP)
    if stop is None or target.register("rip") != stop:
        raise UsageError(
            "pagewalk: --why reads the exception where the kernel stops for it"
            f" (`break {_STOP}` and `continue`); anywhere else, name the error code:"
            " --why --error CODE [ADDRESS], and CR2 counts when ADDRESS is left out"
        )
    frame = space.read(VirtualAddress(target.register("rdi")), _FRAME_BYTES)
    vector, error, rip, cs, rflags = (
        int.from_bytes(frame[at : at + 8], "little") for at in range(_VECTOR, _VECTOR + 40, 8)
    )
    return Taken(vector, error, rip, cs, rflags)


def error_bits(error: int) -> str:
    """An error code with the names of its bits (SDM vol. 3A §4.7)."""
    names = " ".join(name for bit, name in _BITS if error & bit)
    return f"{error:#x} ({names or 'no bit set'})"


def access_of(error: int) -> Access:
    """The access that a page fault's error code describes."""
    operation = Operation.READ
    if error & WRITE_BIT:
        operation = Operation.WRITE
    elif error & FETCH_BIT:
        operation = Operation.FETCH
    return Access(operation, user=bool(error & USER_BIT))
