"""Invariants of the trace (docs/spec.md §12): the ring, and the records in it, the oldest first."""

from collections.abc import Sequence
from typing import Final

from model.invariants.base import Invariant, Violation
from model.layouts import TRACE_RECORD_BYTES
from model.records import Trace, TraceRecord
from model.types import PAGE_BYTES, is_aligned

LARGEST: Final = 1 << 20
OPERATIONS: Final = range(1, 24)
DEEPEST: Final = 8  # no operation calls itself: there are not so many layers

RING: Final = Invariant(
    "trace.ring", "ring_ is page aligned, and 0 exactly when capacity_ is", "§12.2: from the placement area"
)
CAPACITY: Final = Invariant("trace.capacity", "capacity_ <= 2^20", "§12.2: at most")
SEQUENCE: Final = Invariant(
    "trace.sequence",
    "record n lies at ring_[n mod capacity_] and says so: n = max(0, next_ − capacity_) … next_ − 1",
    "§12.1: sequence = n",
)
OPERATION: Final = Invariant("trace.operation", "what is 1 … 23", "§12.3: the operations")
DEPTH: Final = Invariant(
    "trace.depth",
    "depth < 8, and on one CPU at most 1 less than that of the record before",
    "§12.1: a record is written when its operation ends, before that of the one around it",
)

ALL: Final = (RING, CAPACITY, SEQUENCE, OPERATION, DEPTH)


def check_trace(trace: Trace, records: Sequence[TraceRecord]) -> list[Violation]:
    """Judge the ring; `records` are all that it still holds, the oldest first."""
    violations = []
    if not is_aligned(trace.ring, PAGE_BYTES) or (trace.ring == 0) != (trace.capacity == 0):
        because = f"capacity_ is {trace.capacity}"
        violations.append(Violation(RING, trace.address, "ring", trace.ring, None, because))
    if trace.capacity > LARGEST:
        violations.append(Violation(CAPACITY, trace.address, "capacity", trace.capacity, None, ""))
        return violations
    oldest = max(0, trace.next - trace.capacity)
    if len(records) != trace.next - oldest:
        because = f"{len(records)} records are there"
        violations.append(Violation(SEQUENCE, trace.address, "next", trace.next, None, because))
    depths: dict[int, int] = {}
    for number, record in enumerate(records, oldest):
        place = trace.ring + number % max(trace.capacity, 1) * TRACE_RECORD_BYTES
        if record.sequence != number or record.address != place:
            because = f"it is record {number}"
            violations.append(
                Violation(SEQUENCE, record.address, "sequence", record.sequence, number, because)
            )
        if record.what not in OPERATIONS:
            violations.append(Violation(OPERATION, record.address, "what", record.what, None, ""))
        before = depths.get(record.cpu, record.depth)
        if record.depth >= DEEPEST or record.depth < before - 1:
            because = f"the record before on CPU {record.cpu} has {before}"
            violations.append(Violation(DEPTH, record.address, "depth", record.depth, None, because))
        depths[record.cpu] = record.depth
    return violations
