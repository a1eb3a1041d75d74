"""The pages of an address space with the standard library alone: tables decoded once, aliases replayed."""

import struct
from dataclasses import dataclass

from coronel_gdb.lift.pages import (
    EXECUTE,
    LEVEL_SHIFT,
    MOST_PAGES,
    MOST_RANGES,
    MOST_VISITS,
    USER,
    WRITE,
    Pages,
    Progress,
    SelfMap,
    no_progress,
    rights_of,
)
from coronel_gdb.lift.space import AddressSpace
from model.page_entry import (
    ADDRESS_BITS,
    ENTRY_BYTES,
    NO_EXECUTE,
    PAGE_SIZE,
    PRESENT,
    Level,
    bits,
    page_address,
    reserved_bits,
    root_table,
)
from model.paging import BadTable, FaultReason, sign_extend
from model.types import PAGE_BYTES, PhysicalAddress, VirtualAddress

_ENTRIES = struct.Struct("<512Q")
_PTE_KIND = Level.PTE << LEVEL_SHIFT
_ALL = WRITE | USER | EXECUTE
_MOST_DECODED = 400_000  # ranges of last-level tables kept; beyond, tables are decoded again when met again


@dataclass(frozen=True, slots=True)
class _Decoded:
    """The ranges of one last-level table under certain rights: offsets from its first address."""

    offsets: list[int]
    physical: list[int]
    pages: list[int]
    kinds: list[int]
    total: int
    reserved: list[tuple[int, int]]  # index and entry


class _Full(Exception):
    """A bound was reached."""


def walk_pages(
    space: AddressSpace,
    *,
    coalesced: bool = True,
    effective: bool = True,
    through_self_maps: bool = False,
    progress: Progress = no_progress,
) -> Pages:
    """Every page of a space; a self-map is listed, and followed only `through_self_maps`.

    Not `coalesced`, every page is a range of its own; not `effective`, rights are the leaf's alone.
    """
    walker = _Walker(space, progress, coalesced=coalesced, effective=effective, through=through_self_maps)
    try:
        walker.table(root_table(space.root, space.mode), space.mode.top, 0, _ALL, ())
    except _Full:
        walker.found.complete = False
    return walker.found


def entry_rights(entry: int) -> int:
    """What one entry allows."""
    return entry >> 1 & (WRITE | USER) | (0 if entry & NO_EXECUTE else EXECUTE)


class _Walker:
    def __init__(
        self, space: AddressSpace, progress: Progress, *, coalesced: bool, effective: bool, through: bool
    ) -> None:
        self.found = Pages()
        self._space, self._mode = space, space.mode
        self._coalesced, self._through = coalesced, through
        self._kept_rights = 0 if effective else _ALL
        self._progress = progress
        self._decoded: dict[tuple[int, int], _Decoded] = {}
        self._suspicious = bits(51, space.mode.physical_bits) | (0 if space.mode.nx_enabled else NO_EXECUTE)
        self._end = self._physical_end = -1  # where the last range ends, on both sides
        self._visits = self._total = self._kept = 0
        self._referrer: tuple[int, int] | None = None  # the entry (address, index) that led to this table

    def table(self, table: int, level: int, base: int, rights: int, above: tuple[int, ...]) -> None:
        """The pages below one table, which translates the addresses from `base` on."""
        self._visit()
        data = self._space.table(PhysicalAddress(table))
        if data is None or len(data) != PAGE_BYTES:
            self._unreadable(table, level, base)
            return
        tables = self.found.tables
        tables[table] = tables.get(table, 0) | 1 << level
        if level == 1:
            self._last_level(table, data, base, rights)
            return
        entries = [(index, e) for index, e in enumerate(_ENTRIES.unpack(data)) if e & PRESENT]
        if level <= Level.PML4E:
            self._space.load(e & ADDRESS_BITS for _, e in entries if level > 3 or not e & PAGE_SIZE)
        step = Level(level).span_bytes
        path = (*above, table)
        for index, entry in entries:
            virtual = base + index * step
            if level == self._mode.levels:
                virtual = int(sign_extend(virtual, level))
            if entry & (self._suspicious | PAGE_SIZE):
                wrong = reserved_bits(entry, Level(level), self._mode)
                if wrong:
                    self._reserved(table, level, index, virtual, wrong)
                    continue
                if entry & PAGE_SIZE:
                    self._leaf(virtual, entry, level, rights & entry_rights(entry))
                    continue
            below = entry & ADDRESS_BITS
            if below in path:
                self.found.self_maps.append(
                    SelfMap(
                        VirtualAddress(virtual),
                        step,
                        Level(level),
                        index,
                        PhysicalAddress(table + ENTRY_BYTES * index),
                        PhysicalAddress(below),
                        rights_of(rights & entry_rights(entry)),
                    )
                )
                if not self._through:
                    continue
            self._referrer = (table + ENTRY_BYTES * index, index)
            self.table(below, level - 1, virtual, rights & (entry_rights(entry) | self._kept_rights), path)

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
        found, skip = self.found, 0
        if (
            self._coalesced
            and base + decoded.offsets[0] == self._end
            and decoded.physical[0] == self._physical_end
            and found.kinds[-1] == decoded.kinds[0]
        ):
            found.pages[-1] += decoded.pages[0]
            skip = 1
        found.starts += [base + offset for offset in decoded.offsets[skip:]]
        found.physical += decoded.physical[skip:]
        found.pages += decoded.pages[skip:]
        found.kinds += decoded.kinds[skip:]
        last = decoded.pages[-1] * PAGE_BYTES
        self._end = base + decoded.offsets[-1] + last
        self._physical_end = decoded.physical[-1] + last
        self._count(decoded.total)

    def _decode(self, data: bytes, rights: int) -> _Decoded:
        suspicious, coalesced = self._suspicious, self._coalesced
        allowed = [kind & rights | _PTE_KIND for kind in range(8)]
        offsets: list[int] = []
        physical: list[int] = []
        pages: list[int] = []
        kinds: list[int] = []
        reserved: list[tuple[int, int]] = []
        following, kind, total = -1, -1, 0  # what would continue the last range
        for index, entry in enumerate(_ENTRIES.unpack(data)):
            if not entry & 1:
                following = -1
                continue
            if entry & suspicious:
                reserved.append((index, entry))
                following = -1
                continue
            own = allowed[entry >> 1 & 3 | (0 if entry >> 63 else 4)]
            address = entry & ADDRESS_BITS
            total += 1
            if address == following and own == kind and coalesced:
                pages[-1] += 1
            else:
                offsets.append(index * PAGE_BYTES)
                physical.append(address)
                pages.append(1)
                kinds.append(own)
                kind = own
            following = address + PAGE_BYTES
        return _Decoded(offsets, physical, pages, kinds, total, reserved)

    def _leaf(self, virtual: int, entry: int, level: int, rights: int) -> None:
        found, kind = self.found, rights | level << LEVEL_SHIFT
        address, size = int(page_address(entry, Level(level))), Level(level).span_bytes
        if (
            self._coalesced
            and virtual == self._end
            and address == self._physical_end
            and found.kinds[-1] == kind
        ):
            found.pages[-1] += 1
        else:
            found.starts.append(virtual)
            found.physical.append(address)
            found.pages.append(1)
            found.kinds.append(kind)
        self._end, self._physical_end = virtual + size, address + size
        self._count(1)

    def _count(self, pages: int) -> None:
        self._total += pages
        if self._total >= MOST_PAGES or len(self.found.starts) >= MOST_RANGES:
            raise _Full

    def _visit(self) -> None:
        self._visits += 1
        if self._visits % 1024 == 0:
            self._progress(self._total)
            if self._visits >= MOST_VISITS:
                raise _Full

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
        if len(self.found.bad) >= MOST_RANGES:
            raise _Full
