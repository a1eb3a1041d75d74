"""Findings about those who call the allocators: a replay knows every operation that they asked for."""

from collections.abc import Callable, Sequence

from coronel_gdb.checks import catalogue
from coronel_gdb.lift.trace import describe, history
from coronel_gdb.report import Finding
from model.refusals import Refused
from model.trace import Operation, TraceRecord, called

_TAKES_BLOCK = (Operation.HEAP_FREE, Operation.HEAP_REALLOC)


def misuse_finding(
    refused: Refused, before: Sequence[TraceRecord], place: Callable[[TraceRecord], str]
) -> Finding:
    """An operation that was refused rightly, and who had the thing before; `before` are the older records."""
    code, record = catalogue.TRACE_MISUSE, refused.record
    lines = [
        f"operation #{record.sequence} {called(record)}, called from {place(record)}",
        f"refused  {refused.kind.words}, by kernel and model alike",
    ]
    earlier = owners(record, before)
    lines += [f"earlier  {describe(other)}, called from {place(other)}" for other in earlier]
    data = {
        "sequence": record.sequence,
        "operation": called(record),
        "kind": refused.kind.words,
        "caller": place(record),
        "earlier": [other.sequence for other in earlier],
    }
    subject = record.first or record.caller
    return Finding(code.code, code.title, subject, tuple(lines), data)


def owners(record: TraceRecord, before: Sequence[TraceRecord]) -> list[TraceRecord]:
    """Who allocated and who freed what an operation takes, in this order, as far as the trace tells."""
    if record.operation in _TAKES_BLOCK:
        known = history(before, record.first)
        return [other for other in (known.allocated, known.freed) if other is not None]
    if record.operation == Operation.PHYSICAL_FREE:
        freed = last_free(before, record.first)
        return [freed] if freed is not None else []
    return []


def last_free(records: Sequence[TraceRecord], frame: int) -> TraceRecord | None:
    """The last operation that freed a frame."""
    for record in reversed(records):
        if record.operation == Operation.PHYSICAL_FREE and record.first == frame:
            return record
    return None


def free_mapped_finding(
    frame: int, entry: int, freed: TraceRecord | None, place: Callable[[TraceRecord], str]
) -> Finding:
    """A free frame that a page-table entry at physical address `entry` still refers to."""
    code = catalogue.TRACE_FREE_MAPPED
    lines = [f"frame    {frame:#x} is in the free list, and the entry at physical {entry:#x} maps it"]
    if freed is not None:
        lines.append(f"freed    {describe(freed)}, called from {place(freed)}")
    data = {
        "frame": frame,
        "entry": entry,
        "sequence": None if freed is None else freed.sequence,
        "caller": None if freed is None else place(freed),
    }
    return Finding(code.code, code.title, frame, tuple(lines), data, (f"monitor xp /1gx {entry:#x}",))
