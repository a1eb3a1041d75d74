"""How the kernel's heap and its use of frames grew, and whose blocks are still there: from the trace."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from model.trace import Operation, TraceRecord

_MOST_POINTS = 400


@dataclass(slots=True)
class Site:
    """What one place in the code has allocated and not freed."""

    caller: int
    blocks: int = 0
    size_bytes: int = 0


@dataclass(slots=True)
class Growth:
    """(operation number, bytes) of the heap, (operation number, frames) taken since the first record."""

    heap: list[tuple[int, int]] = field(default_factory=list)
    frames: list[tuple[int, int]] = field(default_factory=list)
    sites: list[Site] = field(default_factory=list)


def follow_growth(records: Sequence[TraceRecord]) -> Growth:
    """One pass over the records; where the ring lost the beginning, from the oldest one that is left.

    A realloc's own record comes after those of the malloc and free inside it, so the block is its caller's.
    """
    growth = Growth()
    live: dict[int, tuple[int, int]] = {}
    total = frames = 0
    step = max(1, len(records) // _MOST_POINTS)
    for number, record in enumerate(records):
        operation = record.operation
        size = _size(record)
        if size is not None:
            if operation == Operation.HEAP_REALLOC and (record.result or not size):
                total -= live.pop(record.first, (0, 0))[0]
            if record.result:
                total += size - live.pop(record.result, (0, 0))[0]
                live[record.result] = size, record.caller
        elif operation == Operation.HEAP_FREE:
            total -= live.pop(record.first, (0, 0))[0]
        elif operation == Operation.PHYSICAL_ALLOC:
            frames += record.result != 0
        elif operation == Operation.PHYSICAL_FREE:
            frames -= 1
        if number % step == 0 or number == len(records) - 1:
            growth.heap.append((record.sequence, total))
            growth.frames.append((record.sequence, frames))
    sites: dict[int, Site] = {}
    for size_bytes, caller in live.values():
        site = sites.setdefault(caller, Site(caller))
        site.blocks += 1
        site.size_bytes += size_bytes
    growth.sites = sorted(sites.values(), key=lambda site: (-site.size_bytes, site.caller))
    return growth


def _size(record: TraceRecord) -> int | None:
    """How many bytes an operation asks for; None for one that asks for none."""
    if record.operation == Operation.HEAP_MALLOC:
        return record.first
    if record.operation == Operation.HEAP_CALLOC:
        return record.first * record.second
    if record.operation in (Operation.HEAP_REALLOC, Operation.HEAP_ALIGNED_ALLOC):
        return record.second
    return None
