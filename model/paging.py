"""The x86-64 page walk: SDM volume 3A chapter 4 (§4.5, §4.6.1), for 4 and 5 levels.

The walk does not know whose memory it reads: the caller hands it a function that gives an entry or a
table at a physical address. So the model, a debugger and a dump share it. It never writes: the
accessed and dirty flags stay as they were.

Only what the tables say is judged here. Whether an access with a certain privilege would be allowed
(CPL, CR0.WP, SMEP, SMAP, protection keys) is another question, asked after a complete walk.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import Enum

from model.page_entry import (
    ACCESSED,
    ADDRESS_BITS,
    ALL_RIGHTS,
    CACHE_DISABLE,
    DIRTY,
    ENTRIES_PER_TABLE,
    ENTRY_BYTES,
    GLOBAL,
    LARGE_PAT,
    PAGE_SIZE,
    PRESENT,
    WRITE_THROUGH,
    Level,
    PagingMode,
    Rights,
    bits,
    is_leaf,
    page_address,
    reserved_bits,
    root_table,
    table_index,
)
from model.types import PAGE_BYTES, PhysicalAddress, VirtualAddress

__all__ = [
    "BadTable",
    "FaultReason",
    "Level",
    "Mapping",
    "PageFault",
    "PagingMode",
    "Range",
    "ReadEntry",
    "ReadTable",
    "Rights",
    "Step",
    "Translation",
    "canonical",
    "coalesce",
    "sign_extend",
    "walk",
    "walk_space",
]


@dataclass(frozen=True, slots=True)
class Step:
    """One entry the walk read: where, which one of its table, and its raw value."""

    level: Level
    entry_address: PhysicalAddress
    index: int
    entry: int


def _step(table: PhysicalAddress, level: Level, index: int, entry: int) -> Step:
    return Step(level, PhysicalAddress(table + ENTRY_BYTES * index), index, entry)


@dataclass(frozen=True, slots=True)
class Translation:
    """A walk that reached a page of `page_bytes`; `physical` is the address itself, not its page."""

    virtual: VirtualAddress
    physical: PhysicalAddress
    page_bytes: int
    rights: Rights
    steps: tuple[Step, ...]

    @property
    def level(self) -> Level:
        """The level of the entry that maps the page."""
        return self.steps[-1].level

    @property
    def leaf(self) -> int:
        """The raw entry that maps the page."""
        return self.steps[-1].entry

    @property
    def global_(self) -> bool:
        """G of the leaf; it counts only while CR4.PGE is set (SDM §4.10.2.4)."""
        return self.leaf & GLOBAL != 0

    @property
    def accessed(self) -> bool:
        """A of the leaf (SDM §4.8)."""
        return self.leaf & ACCESSED != 0

    @property
    def dirty(self) -> bool:
        """D of the leaf (SDM §4.8)."""
        return self.leaf & DIRTY != 0

    @property
    def pwt(self) -> bool:
        """PWT of the leaf (SDM §4.9.2)."""
        return self.leaf & WRITE_THROUGH != 0

    @property
    def pcd(self) -> bool:
        """PCD of the leaf (SDM §4.9.2)."""
        return self.leaf & CACHE_DISABLE != 0

    @property
    def pat(self) -> bool:
        """PAT of the leaf: bit 7 of a PTE, bit 12 of a larger page (SDM §4.9.2)."""
        return self.leaf & (PAGE_SIZE if self.level == Level.PTE else LARGE_PAT) != 0


class FaultReason(Enum):
    """Why a walk ended without a page."""

    NON_CANONICAL = "not canonical"
    NOT_PRESENT = "not present"
    RESERVED_BIT = "reserved bit set"
    UNREADABLE = "table not readable"


@dataclass(frozen=True, slots=True)
class PageFault:
    """A walk that reached no page.

    `level` is that of the entry the walk ended at (None: it never began) and `steps` all entries that
    were read, the last one included. `reserved_bits` are the offending bits of RESERVED_BIT, `table`
    the table that UNREADABLE could not read.
    """

    virtual: VirtualAddress
    reason: FaultReason
    level: Level | None
    steps: tuple[Step, ...]
    reserved_bits: int = 0
    table: PhysicalAddress | None = None


ReadEntry = Callable[[PhysicalAddress], int | None]
"""The 8 bytes of an entry at a physical address; None when they cannot be read."""


def canonical(address: int, levels: int) -> bool:
    """Whether bits 63:47 (4 levels) or 63:56 (5 levels) are all equal (SDM vol. 1 §3.3.7.1)."""
    sign_bits = 64 - (12 + 9 * levels - 1)
    return address >> (64 - sign_bits) in (0, (1 << sign_bits) - 1)


def sign_extend(address: int, levels: int) -> VirtualAddress:
    """The canonical address whose translated low bits are those of `address`."""
    width = 12 + 9 * levels
    low = address & bits(width - 1, 0)
    return VirtualAddress(low | bits(63, width) if low >> (width - 1) else low)


def walk(
    read_entry: ReadEntry, root: PhysicalAddress, address: VirtualAddress, mode: PagingMode
) -> Translation | PageFault:
    """Translate `address` with the tables that CR3 value `root` names.

    Any `root` and `address` may be given; the result is a value, never an exception.
    """
    # SDM vol. 1 §3.3.7.1: the address itself is judged before any table is looked at.
    if not canonical(address, mode.levels):
        return PageFault(address, FaultReason.NON_CANONICAL, None, ())
    table, level, rights = root_table(root, mode), mode.top, ALL_RIGHTS
    steps: tuple[Step, ...] = ()
    while True:
        index = table_index(address, level)
        entry = read_entry(PhysicalAddress(table + ENTRY_BYTES * index))
        if entry is None:
            return PageFault(address, FaultReason.UNREADABLE, level, steps, table=table)
        steps += (_step(table, level, index, entry),)
        # SDM §4.5: nothing else in an entry with P=0 is looked at.
        if not entry & PRESENT:
            return PageFault(address, FaultReason.NOT_PRESENT, level, steps)
        # SDM §4.7: reserved bits of a present entry end the walk, whatever the rights.
        reserved = reserved_bits(entry, level, mode)
        if reserved:
            return PageFault(address, FaultReason.RESERVED_BIT, level, steps, reserved_bits=reserved)
        rights = rights.restricted_by(entry)
        if is_leaf(entry, level):
            offset = address & (level.span_bytes - 1)
            physical = PhysicalAddress(page_address(entry, level) | offset)
            return Translation(address, physical, level.span_bytes, rights, steps)
        table, level = PhysicalAddress(entry & ADDRESS_BITS), Level(level - 1)


@dataclass(frozen=True, slots=True)
class Mapping:
    """One page of an address space; `entry` is the raw leaf."""

    virtual: VirtualAddress
    physical: PhysicalAddress
    page_bytes: int
    rights: Rights
    entry: int


@dataclass(frozen=True, slots=True)
class BadTable:
    """A part of an address space that cannot be walked, from address `virtual` on.

    RESERVED_BIT: entry `index` of `table`, at `entry_address`, has `reserved_bits` set; `level` is the
    entry's. UNREADABLE: `table`, whose entries would be of `level`, could not be read; `entry_address`
    and `index` name the entry that refers to it, None when that is CR3.
    """

    table: PhysicalAddress
    level: Level
    virtual: VirtualAddress
    reason: FaultReason
    entry_address: PhysicalAddress | None
    index: int | None
    reserved_bits: int = 0

    @property
    def span_bytes(self) -> int:
        """Bytes of virtual addresses of which nothing is known."""
        entries = 1 if self.reason is FaultReason.RESERVED_BIT else ENTRIES_PER_TABLE
        return entries * self.level.span_bytes


ReadTable = Callable[[PhysicalAddress], bytes | None]
"""The 4096 bytes of the table at a physical address; None when they cannot be read."""


def _present_entries(read_table: ReadTable, table: PhysicalAddress) -> tuple[tuple[int, int], ...] | None:
    """Index and value of the present entries of a table; None when it cannot be read whole."""
    data = read_table(table)
    if data is None or len(data) != PAGE_BYTES:
        return None
    entries = memoryview(data)
    return tuple(
        (at // ENTRY_BYTES, int.from_bytes(entries[at : at + ENTRY_BYTES], "little"))
        for at in range(0, PAGE_BYTES, ENTRY_BYTES)
        if data[at] & PRESENT
    )


def _unreadable(
    table: PhysicalAddress, level: Level, virtual: VirtualAddress, referrer: Step | None
) -> BadTable:
    entry_address = None if referrer is None else referrer.entry_address
    index = None if referrer is None else referrer.index
    return BadTable(table, level, virtual, FaultReason.UNREADABLE, entry_address, index)


def _reserved(table: PhysicalAddress, virtual: VirtualAddress, step: Step, reserved: int) -> BadTable:
    reason = FaultReason.RESERVED_BIT
    return BadTable(table, step.level, virtual, reason, step.entry_address, step.index, reserved)


def walk_space(
    read_table: ReadTable, root: PhysicalAddress, mode: PagingMode
) -> Iterator[Mapping | BadTable]:
    """Every page that the tables of CR3 value `root` map, in ascending order of canonical address.

    A page mapped at two addresses is given twice. Every table is read once. A table that refers to
    itself is no special case: the levels bound the depth, but up to 512**levels pages (2**36 or 2**45)
    may come, so a caller that does not trust the tables stops when it has seen enough.
    """
    tables: dict[PhysicalAddress, tuple[tuple[int, int], ...] | None] = {}

    def descend(
        table: PhysicalAddress, level: Level, first: int, rights: Rights, referrer: Step | None
    ) -> Iterator[Mapping | BadTable]:
        """The pages below one table, which translates the addresses from `first` on."""
        if table not in tables:
            tables[table] = _present_entries(read_table, table)
        entries = tables[table]
        if entries is None:
            yield _unreadable(table, level, sign_extend(first, mode.levels), referrer)
            return
        span_bytes = level.span_bytes
        for index, entry in entries:
            virtual = sign_extend(first + index * span_bytes, mode.levels)
            reserved = reserved_bits(entry, level, mode)
            if reserved:
                step = _step(table, level, index, entry)
                yield _reserved(table, virtual, step, reserved)
                continue
            restricted = rights.restricted_by(entry)
            if is_leaf(entry, level):
                yield Mapping(virtual, page_address(entry, level), span_bytes, restricted, entry)
            else:
                below = PhysicalAddress(entry & ADDRESS_BITS)
                step = _step(table, level, index, entry)
                yield from descend(below, Level(level - 1), virtual, restricted, step)

    yield from descend(root_table(root, mode), mode.top, 0, ALL_RIGHTS, None)


@dataclass(frozen=True, slots=True)
class Range:
    """Pages of one size and equal rights that follow each other virtually and physically.

    `end` is exclusive; it is 2**64 when the last page of the address space belongs to the range.
    """

    virtual: VirtualAddress
    end: VirtualAddress
    physical: PhysicalAddress
    rights: Rights
    page_bytes: int
    pages: int


def _continues(so_far: Range, page: Mapping) -> bool:
    return (
        page.virtual == so_far.end
        and page.physical == so_far.physical + (so_far.end - so_far.virtual)
        and page.rights == so_far.rights
        and page.page_bytes == so_far.page_bytes
    )


def coalesce(mappings: Iterable[Mapping]) -> Iterator[Range]:
    """The fewest ranges that hold `mappings`, which come in ascending order of address."""
    so_far: Range | None = None
    for page in mappings:
        end = VirtualAddress(page.virtual + page.page_bytes)
        if so_far is not None and _continues(so_far, page):
            first, physical, pages = so_far.virtual, so_far.physical, so_far.pages + 1
        else:
            if so_far is not None:
                yield so_far
            first, physical, pages = page.virtual, page.physical, 1
        so_far = Range(first, end, physical, page.rights, page.page_bytes, pages)
    if so_far is not None:
        yield so_far
