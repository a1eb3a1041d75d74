"""The whole space as ranges: filters, folded aliases, self-maps, what could not be walked."""

import argparse
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from coronel_gdb.commands.many import few
from coronel_gdb.commands.walks.words import SIZES, counted, damage, rights
from coronel_gdb.errors import UsageError
from coronel_gdb.lift.pages import EXECUTE, LEVEL_SHIFT, SIZE_OF_LEVEL, USER, WRITE, Ends, Pages, rights_of
from coronel_gdb.report import Absent, Columns, Derived, Report, Table

_SHOWN_BAD = 100
_MOST_ROWS = 200_000
COLUMNS = ("start", "end", "physical", "pages", "page size", "rights")
ADDRESSES = frozenset({"start", "end", "physical"})


def interval(text: str) -> tuple[int, int]:
    """[A, B) of `A-B`; `UsageError` otherwise."""
    first, dash, last = text.partition("-")
    try:
        start, end = int(first, 0), int(last, 0)
    except ValueError:
        raise UsageError(f"pagewalk: --range takes two addresses A-B, not {text}") from None
    if not dash or not 0 <= start < end <= 1 << 64:
        raise UsageError(f"pagewalk: --range {text} holds no address")
    return start, end


def chosen(pages: Pages, options: argparse.Namespace) -> Pages:
    """The ranges that all filters let through; those that reach out of --range are shown whole."""
    wanted = (
        (WRITE if options.writable else 0)
        | (EXECUTE if options.executable else 0)
        | (USER if options.user else 0)
    )
    smallest = 2 if options.huge else 1
    low, high = interval(options.range) if options.range else (0, 1 << 64)
    if not wanted and smallest == 1 and not options.range:
        return pages
    return pages.chosen(
        [
            index
            for index, (start, kind) in enumerate(zip(pages.starts, pages.kinds, strict=True))
            if kind & wanted == wanted
            and kind >> LEVEL_SHIFT >= smallest
            and start < high
            and start + pages.size_bytes(index) > low
        ]
    )


def describe(name: str, pages: Pages, shown: Pages, *, folded: bool) -> Report:
    """The report on one space; `name` is whose it is, or nothing."""
    count, total = shown.count, shown.mapped_bytes()
    of = "" if shown is pages else f" (of {pages.count:,} in {len(pages):,})"
    where = f"{counted(count, 'page')} in {counted(len(shown), 'range')}"
    report = Report("pagewalk", f"{where}, {total >> 10:,} KiB mapped{of}")
    report.tables.append(folded_table(shown) if folded else range_table(shown))
    if name:
        report.tables[0] = replace(report.tables[0], title=name)
    if pages.self_maps:
        report.facts.append(("self-maps", f"{len(pages.self_maps)}, listed below and not followed"))
        report.tables.append(self_map_table(pages))
    report.not_checked += missing(pages)
    if len(shown) > _MOST_ROWS and not folded:
        more = f"{len(shown) - _MOST_ROWS:,} are not listed: use --range or --fold"
        report.not_checked.append(Absent("more ranges", more))
    return report


def missing(pages: Pages) -> list[Absent]:
    """What of a space could not be walked."""
    absent = few((Absent(*damage(table)) for table in pages.bad), len(pages.bad), "damaged tables")
    if not pages.complete:
        absent.append(
            Absent("rest of the space", f"stopped after {pages.count:,} pages: the tables are damaged")
        )
    return absent


def range_table(pages: Pages) -> Table:
    """Every range, in ascending order; no more rows than anybody reads."""
    if len(pages) > _MOST_ROWS:
        pages = pages.chosen(list(range(_MOST_ROWS)))
    return Table("ranges", COLUMNS, Columns(*_cells(pages)), ADDRESSES)


def folded_table(pages: Pages) -> Table:
    """Ranges with the same pages and rights as one row, with how many there are and where the last one is."""
    keys = list(zip(pages.physical, pages.pages, pages.kinds, strict=True))
    # Of equal keys a dictionary keeps the last value, in the place of the first: no loop over 65,000 aliases.
    lasts = dict(zip(keys, pages.starts, strict=True))
    firsts = dict(zip(reversed(keys), reversed(range(len(keys))), strict=True))
    times = Counter(keys)
    cells = _cells(pages.chosen([firsts[key] for key in lasts]))
    rows = Columns(*cells, [times[key] for key in lasts], list(lasts.values()))
    return Table("ranges, aliases folded", (*COLUMNS, "times", "last at"), rows, ADDRESSES | {"last at"})


def _cells(pages: Pages) -> tuple[Sequence[object], ...]:
    """What stands below each of `COLUMNS`."""
    sizes = {kind: SIZE_OF_LEVEL[kind >> LEVEL_SHIFT] for kind in pages.kinds_met()}
    words = {kind: SIZES[size] for kind, size in sizes.items()}
    allowed = {kind: rights(rights_of(kind)) for kind in sizes}
    return (
        pages.starts,
        Ends(pages),
        pages.physical,
        pages.pages,
        Derived(words.__getitem__, pages.kinds),
        Derived(allowed.__getitem__, pages.kinds),
    )


def self_map_table(pages: Pages) -> Table:
    """The entries that refer to a table above themselves."""
    rows = [
        (
            one.virtual,
            one.virtual + one.span_bytes,
            one.level.name,
            one.index,
            one.entry_address,
            one.table,
            rights(one.rights),
        )
        for one in pages.self_maps[:_SHOWN_BAD]
    ]
    columns = ("start", "end", "entry", "index", "entry at", "table", "rights")
    return Table("self-maps", columns, rows, frozenset({"start", "end", "entry at", "table"}))
