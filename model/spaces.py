"""Whole address spaces as records: every table, every run of pages, every entry that a rule may forbid.

Where `model.paging.walk_space` lists pages one by one, this walk keeps what a judgement over many spaces
needs: which frame is a table of which level, and which frames are reached with which rights. A table that
a space reaches again at the same level is not gone through again: it is noted in `again`, so that a
recursive or looping table costs one row and not 512**4 pages.
"""

import struct
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from model.page_entry import (
    ACCESSED,
    ADDRESS_BITS,
    ALL_RIGHTS,
    DIRTY,
    ENTRIES_PER_TABLE,
    ENTRY_BYTES,
    PRESENT,
    USER,
    Level,
    PagingMode,
    Rights,
    is_leaf,
    page_address,
    reserved_bits,
    root_table,
)
from model.paging import BadTable, FaultReason, Range, ReadTable, sign_extend
from model.types import PAGE_BYTES, PhysicalAddress, VirtualAddress

_TABLE: Final = struct.Struct(f"<{ENTRIES_PER_TABLE}Q")
_KERNEL_SLOTS: Final = ENTRIES_PER_TABLE // 2  # the upper half begins here
# A and D are the CPU's (docs/spec.md §5.2): they take no part in any comparison.
_COMPARED: Final = ~(ADDRESS_BITS | ACCESSED | DIRTY)


@dataclass(frozen=True, slots=True)
class TableUse:
    """A table of entries of `level`, for addresses from `virtual` on; None: CR3 itself refers to it."""

    address: PhysicalAddress
    level: Level
    virtual: VirtualAddress
    entry_address: PhysicalAddress | None


@dataclass(frozen=True, slots=True)
class EntryUse:
    """One present entry, where it lies, and the first address that it translates."""

    level: Level
    address: PhysicalAddress
    entry: int
    virtual: VirtualAddress


@dataclass(frozen=True, slots=True)
class MappedRun:
    """Pages of one size with equal flags that follow each other virtually and physically.

    `entry` is the raw leaf of the first page and `entry_address` where it lies; `rights` are those effective
    over all levels.
    """

    virtual: VirtualAddress
    physical: PhysicalAddress
    size_bytes: int
    page_bytes: int
    rights: Rights
    entry: int
    entry_address: PhysicalAddress

    @property
    def range(self) -> Range:
        """Without the entry."""
        end = VirtualAddress(self.virtual + self.size_bytes)
        pages = self.size_bytes // self.page_bytes
        return Range(self.virtual, end, self.physical, self.rights, self.page_bytes, pages)


@dataclass(slots=True)
class Space:
    """What one root table leads to. `user_marked` are entries of the upper half that carry the user bit."""

    name: str
    root: PhysicalAddress
    tables: list[TableUse] = field(default_factory=list)
    runs: list[MappedRun] = field(default_factory=list)
    again: list[TableUse] = field(default_factory=list)
    bad: list[BadTable] = field(default_factory=list)
    user_marked: list[EntryUse] = field(default_factory=list)


class _Walk:
    """One walk; `start` to `size` are the run that still grows."""

    def __init__(self, space: Space, read_table: ReadTable, mode: PagingMode) -> None:
        self.space = space
        self.read_table = read_table
        self.mode = mode
        self.seen: set[tuple[int, int]] = set()
        self.run: MappedRun | None = None
        self.size = 0

    def descend(
        self, table: TableUse, rights: Rights, slots: Iterable[int], referrer_index: int | None
    ) -> None:
        if (table.address, table.level) in self.seen:
            self.space.again.append(table)
            return
        self.seen.add((table.address, table.level))
        self.space.tables.append(table)
        data = self.read_table(table.address)
        if data is None or len(data) != PAGE_BYTES:
            self.space.bad.append(
                BadTable(
                    table.address,
                    table.level,
                    table.virtual,
                    FaultReason.UNREADABLE,
                    table.entry_address,
                    referrer_index,
                )
            )
            return
        entries = _TABLE.unpack(data)
        level, span = table.level, table.level.span_bytes
        first = table.virtual
        for index in slots:
            entry = entries[index]
            if not entry & PRESENT:
                continue
            virtual = sign_extend(first + index * span, self.mode.levels)
            at = PhysicalAddress(table.address + ENTRY_BYTES * index)
            reserved = reserved_bits(entry, level, self.mode)
            if reserved:
                self.space.bad.append(
                    BadTable(table.address, level, virtual, FaultReason.RESERVED_BIT, at, index, reserved)
                )
                continue
            if entry & USER and virtual >> 63:
                self.space.user_marked.append(EntryUse(level, at, entry, virtual))
            restricted = rights.restricted_by(entry)
            if is_leaf(entry, level):
                self.page(virtual, page_address(entry, level), span, restricted, (entry, at))
            else:
                below = TableUse(PhysicalAddress(entry & ADDRESS_BITS), Level(level - 1), virtual, at)
                self.descend(below, restricted, range(ENTRIES_PER_TABLE), index)

    def page(
        self,
        virtual: VirtualAddress,
        physical: PhysicalAddress,
        span: int,
        rights: Rights,
        leaf: tuple[int, PhysicalAddress],
    ) -> None:
        run = self.run
        if (
            run is not None
            and virtual == run.virtual + self.size
            and physical == run.physical + self.size
            and span == run.page_bytes
            and not (leaf[0] ^ run.entry) & _COMPARED
            and rights == run.rights
        ):
            self.size += span
            return
        self.close()
        self.run, self.size = MappedRun(virtual, physical, span, span, rights, *leaf), span

    def close(self) -> None:
        run = self.run
        if run is not None:
            grown = MappedRun(
                run.virtual,
                run.physical,
                self.size,
                run.page_bytes,
                run.rights,
                run.entry,
                run.entry_address,
            )
            self.space.runs.append(grown)
        self.run = None


def walk_whole(
    read_table: ReadTable,
    name: str,
    root: PhysicalAddress,
    mode: PagingMode,
    slots: Iterable[int] = range(ENTRIES_PER_TABLE),
) -> Space:
    """Everything below the given slots of the top table of CR3 value `root`, in ascending order of address.

    Each table is gone through once a level, so the work is bounded by the number of frames.
    """
    space = Space(name, root_table(root, mode))
    walk = _Walk(space, read_table, mode)
    walk.descend(TableUse(space.root, mode.top, VirtualAddress(0), None), ALL_RIGHTS, slots, None)
    walk.close()
    return space


def upper_differences(
    read_table: ReadTable, root: PhysicalAddress, other: PhysicalAddress
) -> list[int] | None:
    """The slots of the upper half in which two top tables differ, A aside; None when one cannot be read."""
    first, second = read_table(root), read_table(other)
    if first is None or second is None:
        return None
    pairs = zip(_TABLE.unpack(first), _TABLE.unpack(second), strict=True)
    return [
        index
        for index, (mine, its) in enumerate(pairs)
        if index >= _KERNEL_SLOTS and (mine ^ its) & ~ACCESSED
    ]
