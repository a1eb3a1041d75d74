"""An address space in a file, and what changed since. A file is nobody's word: it is checked whole."""

import json
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from coronel_gdb.errors import UsageError
from coronel_gdb.lift.pages import BOUNDS, LEVEL_SHIFT, SIZE_OF_LEVEL, Pages
from coronel_gdb.own_file import check_replaceable, contents, replaced

FORMAT, VERSION = "coronel pages", 1
_MOST_BYTES = 256 << 20
_COLUMNS = ("starts", "physical", "pages", "kinds")
_END = 1 << 64


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A saved space: its CR3, its levels, its ranges."""

    root: int
    levels: int
    pages: Pages


@dataclass(frozen=True, slots=True)
class Change:
    """Addresses [start, end) that were mapped otherwise: kind and physical address, None for not mapped."""

    start: int
    end: int
    before: tuple[int, int] | None
    after: tuple[int, int] | None


def save(path: Path, root: int, levels: int, pages: Pages) -> None:
    """Write a space, whole or not at all; `UsageError` when that cannot be done, or another file is there."""
    columns = {name: list(getattr(pages, name)) for name in _COLUMNS}
    text = json.dumps({"format": FORMAT, "version": VERSION, "root": root, "levels": levels, **columns})
    check_replaceable(path, text[: text.index(",")].encode(), "saved space")
    with replaced(path) as (file, _):
        file.write(text.encode())


def load(path: Path) -> Snapshot:
    """Read a space back; `UsageError` says what is wrong with the file."""
    data = contents(path, _MOST_BYTES, "saved space")
    try:
        return _checked(json.loads(data))
    except (ValueError, RecursionError) as error:
        raise UsageError(f"pagewalk: {path} is no saved space: {error}") from error


def _checked(raw: object) -> Snapshot:
    """The snapshot; `ValueError` for anything that `save` would not have written."""
    if not isinstance(raw, dict) or raw.get("format") != FORMAT:
        raise ValueError(f"it does not say `{FORMAT}`")
    if raw.get("version") != VERSION:
        raise ValueError(f"version {raw.get('version')!r}, this tool reads version {VERSION}")
    columns = [raw.get(name) for name in _COLUMNS]
    levels, root = raw.get("levels"), raw.get("root")
    if levels not in (4, 5) or type(root) is not int or not 0 <= root < _END:
        raise ValueError("levels or root")
    lists = [column for column in columns if isinstance(column, list)]
    if (
        len(lists) != len(_COLUMNS)
        or len({len(column) for column in lists}) != 1
        or len(lists[0]) > BOUNDS.ranges + 512
    ):
        raise ValueError("its four columns are not equally long lists")
    end = 0
    for index, (start, physical, pages, kind) in enumerate(zip(*lists, strict=True)):
        if not all(type(value) is int for value in (start, physical, pages, kind)):
            raise ValueError(f"range {index} is not four integers")
        size = SIZE_OF_LEVEL.get(kind >> LEVEL_SHIFT)
        if size is None or kind < 0 or pages < 1 or physical < 0 or start % 4096 or physical % 4096:
            raise ValueError(f"range {index} cannot be")
        if start < end or start + pages * size > _END or physical + pages * size > 1 << 52:
            raise ValueError(f"range {index} overlaps the one before it, or runs past the end")
        end = start + pages * size
    return Snapshot(root, int(levels), Pages(array("Q", lists[0]), lists[1], lists[2], lists[3]))


def changes(before: Pages, after: Pages) -> Iterator[Change]:
    """What differs, in ascending order, neighbours with the same change joined."""
    so_far: Change | None = None
    for change in _pieces(before, after):
        if so_far is not None and so_far.end == change.start and _continues(so_far, change):
            so_far = Change(so_far.start, change.end, so_far.before, so_far.after)
            continue
        if so_far is not None:
            yield so_far
        so_far = change
    if so_far is not None:
        yield so_far


def _pieces(before: Pages, after: Pages) -> Iterator[Change]:
    """The addresses cut wherever a range of either begins or ends; only pieces that differ."""
    cuts: set[int] = set()
    for pages in (before, after):
        cuts.update(pages.starts)
        cuts.update(start + pages.size_bytes(index) for index, start in enumerate(pages.starts))
    edges = sorted(cuts)
    old, new = _Cursor(before), _Cursor(after)
    for start, end in pairwise(edges):
        was, now = old.at(start), new.at(start)
        if was != now:
            yield Change(start, end, was, now)


class _Cursor:
    """Looks up ascending addresses without searching."""

    def __init__(self, pages: Pages) -> None:
        self._pages, self._index = pages, 0

    def at(self, virtual: int) -> tuple[int, int] | None:
        pages = self._pages
        starts = pages.starts
        while self._index < len(starts) and starts[self._index] + pages.size_bytes(self._index) <= virtual:
            self._index += 1
        if self._index == len(starts) or starts[self._index] > virtual:
            return None
        return pages.kinds[self._index], pages.physical[self._index] + virtual - starts[self._index]


def _continues(first: Change, second: Change) -> bool:
    offset = second.start - first.start
    return all(
        (a is None) == (b is None) and (a is None or b is None or (a[0], a[1] + offset) == b)
        for a, b in ((first.before, second.before), (first.after, second.after))
    )
