"""What the records of a trace say of blocks that are no more, and of pointers that never were one."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from model.trace import KERNEL_CALLS, Calls, Operation, TraceRecord
from model.types import PAGE_BYTES


@dataclass(frozen=True, slots=True)
class Former:
    """A block that was freed: its data, and the operations that gave and took it."""

    pointer: int
    size_bytes: int
    allocated: TraceRecord
    freed: TraceRecord


@dataclass(frozen=True, slots=True)
class Misused:
    """An operation that must have been refused, why, and the operations on the same thing before it."""

    record: TraceRecord
    why: str
    earlier: tuple[TraceRecord, ...]


def former_owner(
    records: Iterable[TraceRecord], start: int, end: int, calls: Calls = KERNEL_CALLS
) -> Former | None:
    """The last block freed that held all of [start, end); None when a live one holds a byte of it."""
    live: dict[int, tuple[int, TraceRecord]] = {}
    found: Former | None = None
    for record in records:
        taken = calls.takes(record)
        if taken in live:
            size, allocated = live.pop(taken)
            if taken <= start and end <= taken + size:
                found = Former(taken, size, allocated, record)
        if calls.gives(record):
            live[record.result] = calls.size_bytes(record), record
    if any(pointer < end and start < pointer + size for pointer, (size, _) in live.items()):
        return None
    return found


def misused_blocks(records: Sequence[TraceRecord], *, complete: bool) -> list[Misused]:
    """Operations of the kernel heap on what is no used block, the newest last.

    Unless the records are `complete`, a pointer that they have not seen may have been given before them.
    """
    live: dict[int, tuple[int, TraceRecord]] = {}
    ended: dict[int, tuple[TraceRecord, ...]] = {}
    found: list[Misused] = []
    for record in records:
        pointer = record.first
        of_pointer = record.operation in (Operation.HEAP_FREE, Operation.HEAP_REALLOC) and pointer
        if of_pointer and pointer not in live:
            if pointer in ended:
                found.append(Misused(record, "it was freed before", ended[pointer]))
            elif inside := next((at for at, (size, _) in live.items() if at < pointer < at + size), 0):
                why = f"it lies {pointer - inside} bytes inside the block at {inside:#x}"
                found.append(Misused(record, why, (live[inside][1],)))
            elif complete:
                found.append(Misused(record, "no operation gave it", ()))
        taken = KERNEL_CALLS.takes(record)
        if taken in live:
            ended[taken] = (live.pop(taken)[1], record)
        elif taken:
            ended.setdefault(taken, (record,))
        if KERNEL_CALLS.gives(record):
            live[record.result] = KERNEL_CALLS.size_bytes(record), record
            ended.pop(record.result, None)
    return found


def misused_frames(records: Sequence[TraceRecord], ranges: Collection[tuple[int, int]]) -> list[Misused]:
    """Frees of frames that are free already or none of the managed ones, the newest last."""
    given: dict[int, TraceRecord] = {}
    freed: dict[int, tuple[TraceRecord, ...]] = {}
    found: list[Misused] = []
    for record in records:
        if record.operation == Operation.PHYSICAL_ALLOC and record.result:
            given[record.result] = record
            freed.pop(record.result, None)
        if record.operation != Operation.PHYSICAL_FREE:
            continue
        frame = record.first
        if frame % PAGE_BYTES or not any(start <= frame < end for start, end in ranges):
            found.append(Misused(record, "no managed frame begins there", ()))
        elif frame in freed:
            found.append(Misused(record, "it was freed before", freed[frame]))
        else:
            freed[frame] = (given.pop(frame), record) if frame in given else (record,)
    return found
