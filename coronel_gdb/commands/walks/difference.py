"""`--diff`: what changed in an address space since it was saved."""

from coronel_gdb.commands.walks.listing import missing
from coronel_gdb.commands.walks.words import counted, rights
from coronel_gdb.errors import UsageError
from coronel_gdb.lift.pages import LEVEL_SHIFT, SIZE_OF_LEVEL, Pages, rights_of
from coronel_gdb.lift.saved import Snapshot, changes
from coronel_gdb.lift.space import AddressSpace
from coronel_gdb.report import Report, Table

_COLUMNS = ("start", "end", "size", "change", "before", "after")


def difference(snapshot: Snapshot, space: AddressSpace, pages: Pages) -> Report:
    """Rows of addresses that were mapped, unmapped or mapped otherwise; equal spaces have none."""
    if snapshot.levels != space.mode.levels:
        raise UsageError(
            f"pagewalk: the saved space has {snapshot.levels} levels, this one has {space.mode.levels}"
        )
    rows: list[tuple[object, ...]] = []
    for change in changes(snapshot.pages, pages):
        kind = "mapped" if change.before is None else "unmapped" if change.after is None else "changed"
        size = change.end - change.start
        rows.append((change.start, change.end, size, kind, _text(change.before), _text(change.after)))
    kinds = [str(row[3]) for row in rows]
    counts = ", ".join(
        f"{kinds.count(kind)} {kind}" for kind in ("mapped", "unmapped", "changed") if kind in kinds
    )
    report = Report("pagewalk", f"{counted(len(rows), 'difference')}: {counts}" if rows else "no difference")
    report.facts.append(("saved", f"cr3 {snapshot.root:#x}, {snapshot.pages.count:,} pages"))
    report.facts.append(("now", f"cr3 {space.root:#x}, {pages.count:,} pages"))
    report.tables.append(Table("differences", _COLUMNS, rows, frozenset({"start", "end", "size"})))
    report.not_checked += missing(pages)
    return report


def _text(side: tuple[int, int] | None) -> str:
    if side is None:
        return "-"
    kind, physical = side
    size = SIZE_OF_LEVEL[kind >> LEVEL_SHIFT]
    return f"{physical:#x} {rights(rights_of(kind))}" + (f" {size >> 20} MiB pages" if size > 4096 else "")
