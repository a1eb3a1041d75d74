"""The pages of a large address space decoded by numpy, level by level, in chunks of bounded memory.

Equal to `page_walker.walk_pages`; numpy is imported when a walk begins, never before.
"""

from array import array
from typing import TYPE_CHECKING, Any

from coronel_gdb.lift.pages import (
    BOUNDS,
    EXECUTE,
    LEVEL_SHIFT,
    USER,
    WRITE,
    Bounds,
    Pages,
    Progress,
    SelfMap,
    no_progress,
    rights_of,
)
from coronel_gdb.lift.space import AddressSpace
from model.page_entry import ADDRESS_BITS, ENTRIES_PER_TABLE, Level, bits, reserved_bits, root_table
from model.paging import BadTable, FaultReason
from model.types import PAGE_BYTES, PhysicalAddress, VirtualAddress

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    U64 = NDArray[np.uint64]

_CHUNK_TABLES = 512  # 2 MiB of entries at a time
_ALL = WRITE | USER | EXECUTE


def walk_pages_in_bulk(
    space: AddressSpace,
    *,
    coalesced: bool = True,
    through_self_maps: bool = False,
    progress: Progress = no_progress,
    bounds: Bounds = BOUNDS,
) -> Pages:
    """Every page of a space, as `walk_pages` gives it; only where it stops early may the two differ."""
    decoder = _Decoder(space, progress, bounds, coalesced=coalesced, through=through_self_maps)
    decoder.run()
    return decoder.finished()


class _Paths:
    """Tables as they are reached: one row a path, equal tables reached twice are two rows."""

    def __init__(self, tables: "U64", bases: "U64", rights: "U64", referrers: "U64", above: "U64") -> None:
        self.tables, self.bases, self.rights = tables, bases, rights
        self.referrers = referrers  # address of the entry that led here, 0 for CR3
        self.above = above  # one column a level: the tables of the path

    def __len__(self) -> int:
        return len(self.tables)

    def part(self, start: int, end: int) -> "_Paths":
        rows = slice(start, end)
        return _Paths(
            self.tables[rows], self.bases[rows], self.rights[rows], self.referrers[rows], self.above[rows]
        )


class _Decoder:
    def __init__(
        self, space: AddressSpace, progress: Progress, bounds: Bounds, *, coalesced: bool, through: bool
    ) -> None:
        import numpy

        self._np = numpy
        self._space, self._mode = space, space.mode
        self._coalesced, self._through = coalesced, through
        self._progress, self._bounds = progress, bounds
        self._found = Pages()
        self._columns: list[tuple[U64, U64, U64, U64]] = []
        self._total = self._ranges = self._visits = 0

    def run(self) -> None:
        """Decode from the root down."""
        np = self._np
        root = np.array([root_table(self._space.root, self._mode)], np.uint64)
        zero = np.zeros(1, np.uint64)
        above = np.full((1, 1), root[0], np.uint64)
        self._descend(self._mode.levels, _Paths(root, zero, np.full(1, _ALL, np.uint64), zero, above))

    def finished(self) -> Pages:
        """The columns in ascending order, ranges joined across the borders of chunks."""
        np, found = self._np, self._found
        found.bad.sort(key=lambda bad: bad.virtual)
        found.self_maps.sort(key=lambda one: one.virtual)
        if not self._columns:
            return found
        start, physical, pages, kind = (np.concatenate(column) for column in zip(*self._columns, strict=True))
        self._columns.clear()
        order = np.argsort(start, kind="stable")
        start, physical, pages, kind = start[order], physical[order], pages[order], kind[order]
        if self._coalesced:
            start, physical, pages, kind = self._join(start, physical, pages, kind)
        found.starts, found.physical = array("Q", start.tobytes()), physical.tolist()
        found.pages, found.kinds = pages.tolist(), kind.tolist()
        return found

    def _descend(self, level: int, paths: _Paths) -> None:
        """Decode these tables and all below, a chunk at a time."""
        for start in range(0, len(paths), _CHUNK_TABLES):
            if not self._found.complete:
                return
            self._progress(self._total)
            self._chunk(level, paths.part(start, start + _CHUNK_TABLES))

    def _chunk(self, level: int, paths: _Paths) -> None:
        np = self._np
        self._visits += len(paths)
        paths, entries = self._entries(level, paths)
        rows, columns = np.nonzero(entries & np.uint64(1))
        entry = entries[rows, columns]
        shift = 12 + 9 * (level - 1)
        virtual = paths.bases[rows] + (columns.astype(np.uint64) << np.uint64(shift))
        if level == self._mode.levels:
            high = np.uint64((1 << 64) - (1 << (shift + 9)))
            virtual = np.where(columns >= ENTRIES_PER_TABLE // 2, virtual | high, virtual)
        good = ~self._reserved(level, paths, rows, columns, entry, virtual)
        if not good.all():
            rows, columns, entry, virtual = rows[good], columns[good], entry[good], virtual[good]
        own = (entry >> np.uint64(1)) & np.uint64(3) | (~entry >> np.uint64(63)) << np.uint64(2)
        rights = paths.rights[rows] & own
        if level == 1:
            self._leaves(level, entry, virtual, rights)
            return
        if level <= Level.PDPTE:
            leaf = entry & np.uint64(1 << 7) != 0
            self._leaves(level, entry[leaf], virtual[leaf], rights[leaf])
            below = ~leaf
            rows, columns, entry = rows[below], columns[below], entry[below]
            virtual, rights = virtual[below], rights[below]
        tables = entry & np.uint64(ADDRESS_BITS)
        at = paths.tables[rows] + (columns.astype(np.uint64) << np.uint64(3))
        above = paths.above[rows]
        again = (above == tables[:, None]).any(axis=1)
        if again.any():
            for i in np.nonzero(again)[0].tolist():
                self._self_map(
                    level, int(virtual[i]), int(columns[i]), int(at[i]), int(tables[i]), int(rights[i])
                )
            self._bounded_bad()
            if not self._through:
                keep = ~again
                tables, virtual, rights = tables[keep], virtual[keep], rights[keep]
                at, above = at[keep], above[keep]
        if self._visits > self._bounds.visits:
            self._found.complete = False
            return
        above = np.concatenate((above, tables[:, None]), axis=1)
        self._descend(level - 1, _Paths(tables, virtual, rights, at, above))

    def _entries(self, level: int, paths: _Paths) -> "tuple[_Paths, U64]":
        """The paths whose table can be read, and their entries, one row of 512 each."""
        np, tables = self._np, self._found.tables
        unique, which = np.unique(paths.tables, return_inverse=True)
        addresses = unique.tolist()
        self._space.load(addresses)
        data = [self._space.table(PhysicalAddress(address)) for address in addresses]
        readable = np.array([page is not None and len(page) == PAGE_BYTES for page in data], bool)
        for address, readable_one in zip(addresses, readable.tolist(), strict=True):
            if readable_one:
                tables[address] = tables.get(address, 0) | 1 << level
        if not readable.all():
            lost = ~readable[which]
            for i in np.nonzero(lost)[0].tolist():
                self._unreadable(level, int(paths.tables[i]), int(paths.bases[i]), int(paths.referrers[i]))
            kept = ~lost
            paths = _Paths(
                paths.tables[kept],
                paths.bases[kept],
                paths.rights[kept],
                paths.referrers[kept],
                paths.above[kept],
            )
            which = which[kept]
        blank = bytes(PAGE_BYTES)
        joined = b"".join(
            page if page is not None and fine else blank
            for page, fine in zip(data, readable.tolist(), strict=True)
        )
        matrix = np.frombuffer(joined, "<u8").reshape(-1, ENTRIES_PER_TABLE)
        in_order = len(which) == len(unique) and bool((which == np.arange(len(which))).all())
        return paths, matrix if in_order else matrix[which]

    def _leaves(self, level: int, entry: "U64", virtual: "U64", rights: "U64") -> None:
        if not len(entry):
            return
        np = self._np
        physical = entry & np.uint64(ADDRESS_BITS & ~(Level(level).span_bytes - 1))
        kind = rights | np.uint64(level << LEVEL_SHIFT)
        columns = (virtual, physical, np.ones(len(entry), np.uint64), kind)
        self._total += len(entry)
        if self._coalesced:
            columns = self._join(*columns)
        self._columns.append(columns)
        self._ranges += len(columns[0])
        if self._total >= self._bounds.pages or self._ranges >= self._bounds.ranges:
            self._found.complete = False

    def _join(self, start: "U64", physical: "U64", pages: "U64", kind: "U64") -> "tuple[U64, U64, U64, U64]":
        """Neighbours that continue each other on both sides become one range; ascending in, ascending out."""
        np = self._np
        size = pages << (np.uint64(12) + np.uint64(9) * ((kind >> np.uint64(LEVEL_SHIFT)) - np.uint64(1)))
        continues = (
            (start[1:] == start[:-1] + size[:-1])
            & (physical[1:] == physical[:-1] + size[:-1])
            & (kind[1:] == kind[:-1])
        )
        first = np.concatenate((np.ones(1, bool), ~continues))
        heads = np.nonzero(first)[0]
        return start[heads], physical[heads], np.add.reduceat(pages, heads), kind[heads]

    def _reserved(
        self, level: int, paths: _Paths, rows: Any, columns: Any, entry: "U64", virtual: "U64"
    ) -> Any:
        """Which entries have reserved bits set; each is noted."""
        np, mode = self._np, self._mode
        always = np.uint64(reserved_bits((1 << 64) - 1 - (1 << 7), Level(level), mode))
        with_size = np.uint64(reserved_bits((1 << 64) - 1, Level(level), mode))
        large = entry & np.uint64(1 << 7) != 0
        wrong = entry & np.where(large, with_size, always)
        bad = wrong != 0
        for i in np.nonzero(bad)[0].tolist():
            table, index = int(paths.tables[rows[i]]), int(columns[i])
            self._found.bad.append(
                BadTable(
                    PhysicalAddress(table),
                    Level(level),
                    VirtualAddress(int(virtual[i])),
                    FaultReason.RESERVED_BIT,
                    PhysicalAddress(table + 8 * index),
                    index,
                    int(wrong[i]),
                )
            )
        self._bounded_bad()
        return bad

    def _unreadable(self, level: int, table: int, base: int, referrer: int) -> None:
        self._found.bad.append(
            BadTable(
                PhysicalAddress(table),
                Level(level),
                VirtualAddress(base),
                FaultReason.UNREADABLE,
                PhysicalAddress(referrer) if level < self._mode.levels else None,
                (referrer & (PAGE_BYTES - 1)) // 8 if level < self._mode.levels else None,
            )
        )
        self._bounded_bad()

    def _self_map(self, level: int, virtual: int, index: int, at: int, table: int, rights: int) -> None:
        self._found.self_maps.append(
            SelfMap(
                VirtualAddress(virtual),
                Level(level).span_bytes,
                Level(level),
                index,
                PhysicalAddress(at),
                PhysicalAddress(table),
                rights_of(rights),
            )
        )

    def _bounded_bad(self) -> None:
        if len(self._found.bad) + len(self._found.self_maps) >= self._bounds.ranges:
            self._found.complete = False


assert bits(2, 1) == (WRITE | USER) << 1  # an entry's W and U are neighbours, which both decoders use
