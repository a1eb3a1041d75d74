"""What a profile names no field for: rules that nobody can check then, and figures that nobody knows."""

from collections.abc import Iterable

from coronel_gdb.profiles.schema import Section
from coronel_gdb.report import Absent, Report
from model.invariants.base import Invariant
from model.records import Arena, FrameManager, Heap, RegionManager, RunList, UserHeap

Keeps = Heap | UserHeap | FrameManager | RegionManager | RunList | Arena
"""The objects of managers, each of which knows what its kernel does not keep."""
_REFUSED = "calls that were refused"


def note_unnamed(
    report: Report,
    section: Section,
    record: Keeps,
    rules: Iterable[tuple[Invariant, str]],
) -> None:
    """Note rules over fields without a place, unless the kernel is known to have no such field."""
    wanted = [(invariant.formula, role) for invariant, role in rules]
    if "errors" in record.unkept:
        wanted.append((_REFUSED, "errors"))
    for what, role in wanted:
        why = section.unknown(role)
        if why is not None:
            report.not_checked.append(Absent(what, why))


def figure(record: Keeps, field: str, noun: str = "") -> str:
    """A field as a number with its noun; that there is none, where the kernel keeps none."""
    if field in record.unkept:
        return f"{noun.strip() or field} not kept"
    return f"{getattr(record, field):,}{noun}"
