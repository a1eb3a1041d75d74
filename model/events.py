"""What the model reports while it runs: one event for each operation, done or refused.

The default listener discards. Events of a lower manager come before the one of the operation that
called it, in the order in which the kernel prints its lines (docs/spec.md §8.1).
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from model.errors import Refusal
from model.memory import VirtualMemory
from model.types import VirtualAddress


class Part(StrEnum):
    """The manager that speaks, as the kernel prints it (§8.1)."""

    HEAP = "heap"
    PHYSICAL = "physical"
    VIRT = "virt"
    PAGING = "paging"
    PLACEMENT = "placement"
    USER_HEAP = "user heap"
    PROCESS = "process"
    SYSTEM_CALL = "system call"


@dataclass(frozen=True, slots=True)
class Event:
    """One operation: its arguments, what the caller got, and why it was refused (None: it was not)."""

    part: Part
    operation: str
    arguments: tuple[int, ...]
    result: int
    refusal: Refusal | None = None

    @property
    def line(self) -> str | None:
        """What the kernel prints for a refusal, without the newline (§8.1); None when it prints nothing."""
        if self.refusal is None or self.part in _SILENT:
            return None
        return f"coronel: {self.part}: {self.refusal.kind.words}: {self.refusal.address:#x}"


# Parts without counters of their own (§12.3): what refuses below them speaks.
_SILENT = (Part.PROCESS, Part.SYSTEM_CALL)

Listener = Callable[[Event], None]


def discard(_: Event) -> None:
    """Listen to nothing."""


@dataclass(frozen=True, slots=True)
class Journal:
    """Ends the operations of one manager: counts a refusal in its `errors_`, tells the listener (§8.1).

    A part that counts nothing has no `errors`.
    """

    part: Part
    memory: VirtualMemory
    errors: VirtualAddress | None
    listener: Listener = discard

    def conclude(self, operation: str, arguments: tuple[int, ...], outcome: int | Refusal) -> int:
        """What the caller gets: the outcome, or 0 when the operation is refused."""
        refusal = outcome if isinstance(outcome, Refusal) else None
        result = 0 if isinstance(outcome, Refusal) else outcome
        if refusal is not None and self.errors is not None:
            counter = VirtualAddress(self.errors + 8 * refusal.kind)
            self.memory.write_u64(counter, self.memory.read_u64(counter) + 1)
        self.listener(Event(self.part, operation, arguments, result, refusal))
        return result
