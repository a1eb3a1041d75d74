"""All pages of an address space, in columns: aliases kept, self-maps recognised, walk bounded.

The rules are those of `model.paging.walk_space`, to which tests prove both decoders equal. Records would
cost more than the walk itself, so what belongs to one range lies in four columns at one index.
"""

import sys
from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import compress
from operator import add, mul
from typing import overload

from coronel_gdb.report import alike
from model.page_entry import Level, Rights
from model.paging import BadTable, Range
from model.types import PhysicalAddress, VirtualAddress

WRITE, USER, EXECUTE = 1, 2, 4
"""Rights in a `kind`: an entry's bits 1 and 2 shifted by one, and the absence of NX."""
LEVEL_SHIFT = 3
SIZE_OF_LEVEL = {level: Level(level).span_bytes for level in (1, 2, 3)}
_WORDS = 1024  # as one number: with more digits, each takes longer
_ONES = int.from_bytes((1).to_bytes(8, sys.byteorder) * _WORDS, sys.byteorder)


@dataclass(frozen=True, slots=True)
class Bounds:
    """Where a walk of damaged tables ends: pages (256 GiB of 4 KiB), ranges or damages, tables met."""

    pages: int = 64 << 20
    ranges: int = 1 << 20
    visits: int = 4 << 20


BOUNDS = Bounds()
Progress = Callable[[int], None]
"""Is told now and then how many pages have been found; may raise to end the walk."""


def no_progress(_: int) -> None:
    """Tells nobody."""


@dataclass(frozen=True, slots=True)
class SelfMap:
    """An entry that refers to a table above it: a recursive map, deliberate or not.

    `virtual` is the first address that goes through the entry, `span_bytes` how many do; `level`, `index`
    and `entry_address` are the entry's, `table` is what it refers to, `rights` those down to it.
    """

    virtual: VirtualAddress
    span_bytes: int
    level: Level
    index: int
    entry_address: PhysicalAddress
    table: PhysicalAddress
    rights: Rights


@dataclass(slots=True)
class Pages:
    """Ranges of one page size and equal effective rights, contiguous on both sides, ascending.

    Range i has `pages[i]` pages from `starts[i]`, mapped to `physical[i]`; `kinds[i]` holds its rights and
    the level of its leaves. `tables` are the tables that were met: physical address → set of levels (bit n:
    level n). `complete` is False when a bound ended the walk.
    """

    starts: "array[int]" = field(default_factory=lambda: array("Q"))
    physical: list[int] = field(default_factory=list)
    pages: list[int] = field(default_factory=list)
    kinds: list[int] = field(default_factory=list)
    tables: dict[int, int] = field(default_factory=dict)
    bad: list[BadTable] = field(default_factory=list)
    self_maps: list[SelfMap] = field(default_factory=list)
    complete: bool = True

    def __len__(self) -> int:
        return len(self.starts)

    @property
    def count(self) -> int:
        """How many pages."""
        return sum(self.pages)

    def size_bytes(self, index: int) -> int:
        """Bytes of addresses in a range."""
        return self.pages[index] * SIZE_OF_LEVEL[self.kinds[index] >> LEVEL_SHIFT]

    def mapped_bytes(self) -> int:
        """Bytes of addresses in all ranges."""
        kinds, total = bytes(self.kinds), self.count * SIZE_OF_LEVEL[1]
        for level in {kind >> LEVEL_SHIFT for kind in self.kinds_met()} - {1}:  # few pages are large
            of_level = kinds.translate(bytes(kind >> LEVEL_SHIFT == level for kind in range(256)))
            total += sum(compress(self.pages, of_level)) * (SIZE_OF_LEVEL[level] - SIZE_OF_LEVEL[1])
        return total

    def kinds_met(self) -> list[int]:
        """The different kinds that there are."""
        kinds = bytes(self.kinds)
        return [kind for kind in range((max(SIZE_OF_LEVEL) + 1) << LEVEL_SHIFT) if kind in kinds]

    def range(self, index: int) -> Range:
        """One range as the model's record."""
        kind = self.kinds[index]
        start = self.starts[index]
        return Range(
            VirtualAddress(start),
            VirtualAddress(start + self.size_bytes(index)),
            PhysicalAddress(self.physical[index]),
            rights_of(kind),
            SIZE_OF_LEVEL[kind >> LEVEL_SHIFT],
            self.pages[index],
        )

    def ranges(self) -> Iterator[Range]:
        """All of them as the model's records."""
        return map(self.range, range(len(self.starts)))

    def chosen(self, indices: list[int]) -> "Pages":
        """These ranges alone; everything else is the whole walk's."""
        physical, pages, kinds = (
            [column[index] for index in indices] for column in (self.physical, self.pages, self.kinds)
        )
        starts = array("Q", [self.starts[index] for index in indices])
        return Pages(starts, physical, pages, kinds, self.tables, self.bad, self.self_maps, self.complete)

    def at(self, virtual: int) -> int | None:
        """Index of the range that maps `virtual`."""
        index = bisect_right(self.starts, virtual) - 1
        return index if index >= 0 and virtual < self.starts[index] + self.size_bytes(index) else None

    def mappings_of(self, physical: int, size_bytes: int = 1) -> Iterator[tuple[int, int]]:
        """(virtual address, index of its range) of every mapping of a byte of [physical, + size)."""
        end = physical + size_bytes
        sizes = SIZE_OF_LEVEL
        columns = zip(self.physical, self.pages, self.kinds, strict=True)
        for index, (first, pages, kind) in enumerate(columns):
            if first < end and first + pages * sizes[kind >> LEVEL_SHIFT] > physical:
                yield self.starts[index] + max(physical - first, 0), index


class Ends(Sequence[int]):
    """The end of every range, computed when it is looked at."""

    def __init__(self, pages: Pages) -> None:
        self._pages = pages

    def __len__(self) -> int:
        return len(self._pages)

    @overload
    def __getitem__(self, index: int) -> int: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[int]: ...

    def __getitem__(self, index: int | slice) -> int | Sequence[int]:
        if not isinstance(index, slice):
            return self._pages.starts[index] + self._pages.size_bytes(index)
        starts = self._pages.starts[index]
        pages, kinds = self._pages.pages[index], self._pages.kinds[index]
        if alike(pages) and alike(kinds):
            size = pages[0] * SIZE_OF_LEVEL[kinds[0] >> LEVEL_SHIFT]
            if starts[-1] + size < 1 << 64:  # the last page of all ends beyond
                return shifted(starts, size)
        sizes = map(mul, pages, [SIZE_OF_LEVEL[kind >> LEVEL_SHIFT] for kind in kinds])
        return list(map(add, starts, sizes))


def shifted(words: "array[int]", delta: int) -> "array[int]":
    """Every word plus `delta`, none beyond 64 bits: all words are one number, to which one is added."""
    result = array("Q")
    for start in range(0, len(words), _WORDS):
        part = words[start : start + _WORDS].tobytes()
        ones = _ONES & (1 << 8 * len(part)) - 1
        number = int.from_bytes(part, sys.byteorder) + delta * ones
        result.frombytes(number.to_bytes(len(part), sys.byteorder))
    return result


def rights_of(kind: int) -> Rights:
    """The model's record of a kind's rights."""
    return Rights(bool(kind & WRITE), bool(kind & USER), bool(kind & EXECUTE))
