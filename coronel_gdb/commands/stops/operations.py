"""The operations that the trace has between two stops."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from coronel_gdb.errors import UsageError
from coronel_gdb.lift.places import Places
from coronel_gdb.lift.trace import LiftedTrace
from coronel_gdb.report import Table
from model.trace import Operation, TraceRecord, call, called

_FEW_CALLERS, _FEW_OPERATIONS = 3, 40


@dataclass(slots=True)
class Between:
    """What happened from one stop to the other.

    `records` are those between, as far as they are kept; `whole` are all from the first one of the run on.
    `why_not_whole` says why there are none such, `unknown` why some between are missing.
    """

    records: list[TraceRecord] = field(default_factory=list)
    whole: list[TraceRecord] = field(default_factory=list)
    first: int = 0
    why_not_whole: str = ""
    unknown: str = ""

    @property
    def nothing(self) -> bool:
        """Whether it is certain that no operation happened."""
        return not self.records and not self.unknown


def between(before: LiftedTrace | str, after: LiftedTrace | str) -> Between:
    """Join two rings; `UsageError` when they cannot be of one run in this order."""
    if isinstance(before, str) or isinstance(after, str):
        why = before if isinstance(before, str) else str(after)
        return Between(why_not_whole=why, unknown=why)
    if after.next < before.next:
        raise UsageError(
            f"snapshot: the first stop has {before.next:,} operations, the second {after.next:,}:"
            " it is the earlier one, or another run"
        )
    known = {record.sequence: record for record in before.records}
    both = [record for record in after.records if record.sequence in known]
    differ = sum(record != known[record.sequence] for record in both)
    if 2 * differ > len(both):
        raise UsageError("snapshot: the two stops are of different runs: their traces differ")
    found = Between(first=before.next)
    found.records = [record for record in after.records if record.sequence >= before.next]
    lost = after.lost - before.next
    if after.bad is not None:
        found.unknown = f"record #{after.bad.number} is damaged: {after.bad.why}"
    elif lost > 0:
        found.unknown = f"the ring lost {lost:,} of the operations between the two stops"
    found.why_not_whole = found.unknown
    if before.bad is not None:
        found.why_not_whole = f"record #{before.bad.number} of the first stop is damaged: {before.bad.why}"
    elif before.lost:
        found.why_not_whole = (
            f"the first {before.lost:,} records were lost before the first stop:"
            " boot the kernel with a larger trace= to keep every record"
        )
    if not found.why_not_whole:
        found.whole = [*before.records, *found.records]
    return found


def tables(found: Between, place: Places) -> list[Table]:
    """The operations by kind, their callers when they are few, and one by one when those are few."""
    counts: Counter[int] = Counter()
    nested: Counter[int] = Counter()
    callers: dict[int, dict[str, int]] = {}
    for record in found.records:
        if record.depth:
            nested[record.operation] += 1
            continue
        counts[record.operation] += 1
        seen = callers.setdefault(record.operation, {})
        if record.caller not in seen.values():
            seen[place(record)] = record.caller
    rows = [
        (_name(operation), counts[operation], nested[operation], _callers(callers.get(operation, {})))
        for operation in sorted({*counts, *nested})
    ]
    made = (
        [Table("operations by kind", ("operation", "called", "by others", "callers"), rows)] if rows else []
    )
    outermost = [record for record in found.records if not record.depth]
    if 0 < len(outermost) <= _FEW_OPERATIONS:
        made.append(one_by_one(outermost, place))
    return made


def one_by_one(records: Sequence[TraceRecord], place: Places) -> Table:
    """Each operation with what it gave and who called it."""
    rows = [(record.sequence, called(record), record.result, place(record)) for record in records]
    columns = ("record", "operation", "result", "called from")
    return Table("operations", columns, rows, frozenset({"result"}))


def _name(operation: int) -> str:
    at = " (at an address)" if operation == Operation.VIRT_ALLOC_AT else ""
    return call(operation, ()).removesuffix("()") + at


def _callers(seen: dict[str, int]) -> str:
    if len(seen) <= _FEW_CALLERS:
        return ", ".join(seen)
    return f"{len(seen)} places"
