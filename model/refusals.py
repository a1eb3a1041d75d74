"""Which operations of a trace were refused, by kernel and model alike: their callers misused an allocator."""

from dataclasses import dataclass, field

from model.errors import ErrorKind
from model.fast.machine import FastMachine
from model.trace import TraceRecord

MISUSE = (ErrorKind.DOUBLE_FREE, ErrorKind.INVALID_POINTER)


@dataclass(frozen=True, slots=True)
class Refused:
    """One operation and why it was refused."""

    record: TraceRecord
    kind: ErrorKind


@dataclass(slots=True)
class Refusals:
    """A watch for `replay`; call `finish` with the machine after the last operation."""

    found: list[Refused] = field(default_factory=list)
    _last: TraceRecord | None = None
    _counts: list[int] = field(default_factory=lambda: [0] * len(ErrorKind))

    def __call__(self, machine: FastMachine, record: TraceRecord) -> None:
        """An operation is about to be done: judge the one before it."""
        self.finish(machine)
        self._last = record

    def finish(self, machine: FastMachine) -> None:
        """Judge the last operation."""
        counts = count_errors(machine)
        if counts != self._counts and self._last is not None:
            self.found += [
                Refused(self._last, kind) for kind in ErrorKind if counts[kind] > self._counts[kind]
            ]
        self._counts = counts


def count_errors(machine: FastMachine) -> list[int]:
    """All refusals of a machine by kind."""
    parts = (machine.heap.errors, machine.frames.errors, machine.regions.errors, machine.tables.errors)
    return [sum(errors) for errors in zip(*parts, strict=True)]


def mapped_free_frames(machine: FastMachine) -> dict[int, int]:
    """Frames that are free although a page leads to them: frame → entry's address in its table.

    Only leaves that operations of the trace made are looked at: those of the boot map no managed frame.
    """
    free = machine.frames.is_free
    found: dict[int, int] = {}
    tables = machine.tables.tables
    for table, entries in tables.items():
        for index, entry in entries.items():
            frame = entry & 0x000F_FFFF_FFFF_F000
            number = frame >> 12
            if number < len(free) and free[number] and frame not in tables:
                found.setdefault(frame, table + 8 * index)
    return found
