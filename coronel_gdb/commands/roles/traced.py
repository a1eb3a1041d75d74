"""What the trace tells of a block, a frame or a region: who took it and who gave it back."""

from collections.abc import Callable, Iterator
from functools import cached_property

from coronel_gdb.commands.command import Context
from coronel_gdb.errors import CoronelError
from coronel_gdb.lift.places import Places, provenance
from coronel_gdb.lift.trace import LiftedTrace, describe, lift_trace
from coronel_gdb.profiles.trace import resolve_replay
from model.trace import Operation, TraceRecord
from model.types import PAGE_BYTES, align_up


class Traced:
    """The kernel's records, read when first asked for; a kernel without a trace tells nothing."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._place = Places(context.target.kernel())

    @cached_property
    def trace(self) -> LiftedTrace | None:
        """The ring, None when there is none or it cannot be read."""
        context = self._context
        try:
            profile = resolve_replay(context.named, context.target.kernel())
            return lift_trace(context.target, context.space, profile.trace)
        except CoronelError:
            return None

    def of_block(self, data: int) -> tuple[str, ...]:
        """Who allocated the block whose data begins there, and who freed it."""
        return tuple(provenance(self._records, data, self._place))

    def of_frame(self, frame: int) -> tuple[str, ...]:
        """Who took a frame last, and who freed it after that."""
        return tuple(
            self._told(
                lambda r: r.operation == Operation.PHYSICAL_ALLOC and r.result == frame,
                lambda r: r.operation == Operation.PHYSICAL_FREE and r.first == frame,
            )
        )

    def of_region(self, address: int, manager: int) -> tuple[str, ...]:
        """Who took the kernel's region around an address last, and who freed it after that."""

        def gives(record: TraceRecord) -> bool:
            by_size = record.operation == Operation.VIRT_ALLOC and record.second == manager
            at = record.operation == Operation.VIRT_ALLOC_AT and record.third == manager
            size = record.first if by_size else record.second
            inside = 0 < record.result <= address < record.result + align_up(size, PAGE_BYTES)
            return (by_size or at) and inside

        def takes(record: TraceRecord) -> bool:
            end = record.first + align_up(record.second, PAGE_BYTES)
            of_manager = record.operation == Operation.VIRT_FREE and record.third == manager
            return of_manager and record.first <= address < end

        return tuple(self._told(gives, takes))

    def of_slot(self, slot: int) -> tuple[str, ...]:
        """The record that lies in a slot of the ring, in words."""
        trace = self.trace
        for record in self._records if trace is not None else ():
            if trace is not None and record.sequence % trace.capacity == slot:
                return (f"{describe(record)}, called from {self._place(record)}",)
        return ("no record that can be",) if trace is not None and slot < trace.next else ("not used yet",)

    @property
    def _records(self) -> list[TraceRecord]:
        return self.trace.records if self.trace is not None else []

    def _told(
        self, gives: Callable[[TraceRecord], bool], takes: Callable[[TraceRecord], bool]
    ) -> Iterator[str]:
        given = taken = None
        for record in reversed(self._records):
            if gives(record):
                given = record
                break
            if taken is None and takes(record):
                taken = record
        if given is not None:
            yield f"allocated by {describe(given)}, called from {self._place(given)}"
        if taken is not None:
            yield f"freed by {describe(taken)}, called from {self._place(taken)}"
