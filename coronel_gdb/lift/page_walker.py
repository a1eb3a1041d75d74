"""The pages of an address space with the standard library alone: tables decoded once, aliases replayed."""

from array import array
from dataclasses import dataclass

from coronel_gdb.lift.entries import present_entries
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
    shifted,
)
from coronel_gdb.lift.space import AddressSpace
from model.page_entry import (
    ADDRESS_BITS,
    ENTRIES_PER_TABLE,
    ENTRY_BYTES,
    NO_EXECUTE,
    PAGE_SIZE,
    PRESENT,
    Level,
    bits,
    reserved_bits,
    root_table,
)
from model.paging import BadTable, FaultReason, sign_extend
from model.types import PAGE_BYTES, PhysicalAddress, VirtualAddress

_PTE_KIND = Level.PTE << LEVEL_SHIFT
_ALL = WRITE | USER | EXECUTE
_NONE = 0  # equal to no present entry
_SMALL = 64  # tables: only subtrees of so many are remembered, to be replayed for their aliases
_MOST_DECODED = 400_000  # ranges of last-level tables kept; beyond, tables are decoded again when met again


@dataclass(frozen=True, slots=True)
class _Decoded:
    """The ranges of one last-level table under certain rights: offsets from its first address."""

    offsets: "array[int]"
    physical: list[int]
    pages: list[int]
    kinds: list[int]
    total: int
    reserved: list[tuple[int, int]]  # index and entry


@dataclass(frozen=True, slots=True)
class _Subtree:
    """What a sound upper table gave once: the ranges [first, end) of the result, for addresses from `base`.

    `last_pages` is what the last range had then: it may have grown by what came after.
    """

    first: int
    end: int
    base: int
    last_pages: int
    total: int
    tables: frozenset[int]


class _Full(Exception):
    """A bound was reached."""


def walk_pages(
    space: AddressSpace,
    *,
    coalesced: bool = True,
    effective: bool = True,
    through_self_maps: bool = False,
    progress: Progress = no_progress,
    bounds: Bounds = BOUNDS,
) -> Pages:
    """Every page of a space; a self-map is listed, and followed only `through_self_maps`.

    Not `coalesced`, every page is a range of its own; not `effective`, rights are the leaf's alone.
    """
    walker = _Walker(
        space, progress, bounds, coalesced=coalesced, effective=effective, through=through_self_maps
    )
    try:
        walker.table(root_table(space.root, space.mode), space.mode.top, 0, _ALL, ())
    except _Full:
        walker.found.complete = False
    return walker.found


def entry_rights(entry: int) -> int:
    """What one entry allows."""
    return entry >> 1 & (WRITE | USER) | (0 if entry & NO_EXECUTE else EXECUTE)


def _together(tables: frozenset[int] | None, more: frozenset[int] | None) -> frozenset[int] | None:
    """Both, unless they are many or unknown."""
    if tables is None or more is None or more <= tables:
        return None if more is None else tables
    return tables | more if len(tables) + len(more) <= _SMALL else None


class _Walker:
    def __init__(
        self,
        space: AddressSpace,
        progress: Progress,
        bounds: Bounds,
        *,
        coalesced: bool,
        effective: bool,
        through: bool,
    ) -> None:
        self.found = Pages()
        self._space, self._mode = space, space.mode
        self._coalesced, self._through = coalesced, through
        self._kept_rights = 0 if effective else _ALL
        self._progress, self._bounds = progress, bounds
        self._decoded: dict[tuple[int, int], _Decoded] = {}
        self._subtrees: dict[tuple[int, int, int], _Subtree] = {}
        self._suspicious = bits(51, space.mode.physical_bits) | (0 if space.mode.nx_enabled else NO_EXECUTE)
        # Where the pages of a table would run out of MAXPHYADDR, each entry is judged by itself.
        self._beyond = 1 << space.mode.physical_bits
        everything = (1 << 64) - 1
        self._reserved_masks = {  # without and with PS
            level: tuple(
                reserved_bits(word, Level(level), space.mode)
                for word in (everything & ~PAGE_SIZE, everything)
            )
            for level in range(2, space.mode.levels + 1)
        }
        self._end = self._physical_end = -1  # where the last range ends, on both sides
        self._visits = self._total = self._kept = 0
        self._referrer: tuple[int, int] | None = None  # the entry (address, index) that led to this table

    def table(
        self, table: int, level: int, base: int, rights: int, above: tuple[int, ...]
    ) -> frozenset[int] | None:
        """The pages below one table, which translates the addresses from `base` on.

        The result are the tables below it and itself, None for many, or where something is wrong.
        """
        self._visit()
        known = self._subtrees.get((table, level, rights))
        # Below other tables, the same entry may be a self-map.
        if known is not None and known.tables.isdisjoint(above):
            self._replay(known, base)
            return known.tables
        data = self._space.table(PhysicalAddress(table))
        if data is None or len(data) != PAGE_BYTES:
            self._unreadable(table, level, base)
            return None
        tables = self.found.tables
        tables[table] = tables.get(table, 0) | 1 << level
        if level == 1:
            self._last_level(table, data, base, rights)
            return frozenset((table,))
        first, total, damage = len(self.found.starts), self._total, self._damage()
        before = self.found.pages[-1] if first else 0
        met = self._upper(table, data, level, base, rights, (*above, table))
        alone = not first or self.found.pages[first - 1] == before  # nothing was joined to what came before
        if met is None or not alone or self._damage() != damage:
            return None
        end = len(self.found.starts)
        last = self.found.pages[-1] if end > first else 0
        self._subtrees[table, level, rights] = _Subtree(first, end, base, last, self._total - total, met)
        return met

    def _upper(
        self, table: int, data: bytes, level: int, base: int, rights: int, path: tuple[int, ...]
    ) -> frozenset[int] | None:
        """The pages below a table that is not of the last level; the result as that of `table`."""
        met: frozenset[int] | None = frozenset((table,))
        entries = list(present_entries(data))
        if level <= Level.PML4E:
            self._space.load(e & ADDRESS_BITS for _, e in entries if level > 3 or not e & PAGE_SIZE)
        step = Level(level).span_bytes
        small, large = self._reserved_masks[level]
        telling = self._suspicious | PAGE_SIZE
        repeats = self._beyond - ENTRIES_PER_TABLE * step if self._coalesced else -1
        successor, following = _NONE, -1
        for index, entry in entries:
            # Most large pages are the one before with the next address, as in `_decode`.
            if entry == successor and index == following:
                self._grow(step)
                successor, following = entry + step, index + 1
                continue
            virtual = base + index * step
            if level == self._mode.levels:
                virtual = int(sign_extend(virtual, level))
            if entry & telling:
                wrong = entry & (large if entry & PAGE_SIZE else small)
                if wrong:
                    self._reserved(table, level, index, virtual, wrong)
                    continue
                if entry & PAGE_SIZE:
                    self._leaf(virtual, entry, level, rights & entry_rights(entry))
                    if entry & ADDRESS_BITS < repeats:
                        successor, following = entry + step, index + 1
                    continue
            below = entry & ADDRESS_BITS
            if below in path:
                self._self_map(virtual, level, table, index, below, rights & entry_rights(entry))
                if not self._through:
                    continue
            self._referrer = (table + ENTRY_BYTES * index, index)
            kept = rights & (entry_rights(entry) | self._kept_rights)
            met = _together(met, self.table(below, level - 1, virtual, kept, path))
        return met

    def _damage(self) -> int:
        """How much is wrong so far."""
        return len(self.found.bad) + len(self.found.self_maps)

    def _replay(self, known: _Subtree, base: int) -> None:
        """The pages of a subtree met before, from another address on."""
        first, end, last = known.first, known.end, known.end - 1
        if first == end:
            return
        found, delta = self.found, base - known.base
        size = Level(found.kinds[last] >> LEVEL_SHIFT).span_bytes * known.last_pages
        if self._joins(found.starts[first] + delta, found.physical[first], found.kinds[first]):
            found.pages[-1] += found.pages[first] if first < last else known.last_pages
            first += 1
        if first < end:
            part = slice(first, end)
            found.starts += shifted(found.starts[part], delta)
            found.physical += found.physical[part]
            found.pages += found.pages[part]
            found.pages[-1] = known.last_pages
            found.kinds += found.kinds[part]
        self._end, self._physical_end = found.starts[last] + delta + size, found.physical[last] + size
        self._count(known.total)

    def _joins(self, start: int, physical: int, kind: int) -> bool:
        """Whether a range continues the last one."""
        return (
            self._coalesced
            and start == self._end
            and physical == self._physical_end
            and self.found.kinds[-1] == kind
        )

    def _last_level(self, table: int, data: bytes, base: int, rights: int) -> None:
        decoded = self._decoded.get((table, rights))
        if decoded is None:
            decoded = self._decode(data, rights)
            self._kept += len(decoded.offsets)
            if self._kept > _MOST_DECODED:
                self._decoded.clear()
                self._kept = len(decoded.offsets)
            self._decoded[table, rights] = decoded
        for index, entry in decoded.reserved:
            wrong = reserved_bits(entry, Level.PTE, self._mode)
            self._reserved(table, 1, index, base + index * PAGE_BYTES, wrong)
        if not decoded.offsets:
            return
        found, at = self.found, len(self.found.starts)
        joined = self._joins(base + decoded.offsets[0], decoded.physical[0], decoded.kinds[0])
        found.starts += shifted(decoded.offsets, base)
        found.physical += decoded.physical
        found.pages += decoded.pages
        found.kinds += decoded.kinds
        if joined:
            found.pages[at - 1] += decoded.pages[0]
            del found.starts[at], found.physical[at], found.pages[at], found.kinds[at]
        last = decoded.pages[-1] * PAGE_BYTES
        self._end = base + decoded.offsets[-1] + last
        self._physical_end = decoded.physical[-1] + last
        self._count(decoded.total)

    def _decode(self, data: bytes, rights: int) -> _Decoded:
        suspicious, coalesced = self._suspicious, self._coalesced
        last = self._beyond - ENTRIES_PER_TABLE * PAGE_BYTES
        allowed = [kind & rights | _PTE_KIND for kind in range(8)]
        offsets = array("Q")
        physical: list[int] = []
        pages: list[int] = []
        kinds: list[int] = []
        reserved: list[tuple[int, int]] = []
        # Most entries are the one before with the next address: seen at a glance, judged no further.
        telling = ADDRESS_BITS | NO_EXECUTE | suspicious | (WRITE | USER) << 1 | PRESENT
        successor, expected, following, kind = _NONE, -1, -1, -1
        for index, entry in present_entries(data):
            if index == expected and not (entry ^ successor) & telling:
                pages[-1] += 1
                successor, expected = successor + PAGE_BYTES, expected + 1
                following += PAGE_BYTES
                continue
            if entry & suspicious:
                reserved.append((index, entry))
                continue
            own = allowed[entry >> 1 & 3 | (0 if entry >> 63 else 4)]
            address = entry & ADDRESS_BITS
            if index == expected and address == following and own == kind:
                pages[-1] += 1
            else:
                offsets.append(index * PAGE_BYTES)
                physical.append(address)
                pages.append(1)
                kinds.append(own)
                kind = own
            if coalesced:
                successor = entry + PAGE_BYTES if address < last else _NONE
                following, expected = address + PAGE_BYTES, index + 1
        return _Decoded(offsets, physical, pages, kinds, sum(pages), reserved)

    def _leaf(self, virtual: int, entry: int, level: int, rights: int) -> None:
        found, kind = self.found, rights | level << LEVEL_SHIFT
        size = PAGE_BYTES << 9 * (level - 1)
        address = entry & ADDRESS_BITS & -size
        if self._joins(virtual, address, kind):
            found.pages[-1] += 1
        else:
            found.starts.append(virtual)
            found.physical.append(address)
            found.pages.append(1)
            found.kinds.append(kind)
        self._end, self._physical_end = virtual + size, address + size
        self._count(1)

    def _grow(self, size: int) -> None:
        """One more page in the last range."""
        self.found.pages[-1] += 1
        self._end += size
        self._physical_end += size
        self._count(1)

    def _count(self, pages: int) -> None:
        self._total += pages
        if self._total >= self._bounds.pages or len(self.found.starts) >= self._bounds.ranges:
            raise _Full

    def _visit(self) -> None:
        self._visits += 1
        if self._visits % 1024 == 0:
            self._progress(self._total)
            if self._visits >= self._bounds.visits:
                raise _Full

    def _self_map(self, virtual: int, level: int, table: int, index: int, below: int, rights: int) -> None:
        self.found.self_maps.append(
            SelfMap(
                VirtualAddress(virtual),
                Level(level).span_bytes,
                Level(level),
                index,
                PhysicalAddress(table + ENTRY_BYTES * index),
                PhysicalAddress(below),
                rights_of(rights),
            )
        )
        self._bounded_bad()

    def _unreadable(self, table: int, level: int, base: int) -> None:
        address, index = self._referrer or (None, None)
        self.found.bad.append(
            BadTable(
                PhysicalAddress(table),
                Level(level),
                VirtualAddress(base),
                FaultReason.UNREADABLE,
                None if address is None else PhysicalAddress(address),
                index,
            )
        )
        self._bounded_bad()

    def _reserved(self, table: int, level: int, index: int, virtual: int, wrong: int) -> None:
        self.found.bad.append(
            BadTable(
                PhysicalAddress(table),
                Level(level),
                VirtualAddress(virtual),
                FaultReason.RESERVED_BIT,
                PhysicalAddress(table + ENTRY_BYTES * index),
                index,
                wrong,
            )
        )
        self._bounded_bad()

    def _bounded_bad(self) -> None:
        if self._damage() >= self._bounds.ranges:
            raise _Full
