"""Invariants of single page table entries, in the closed form that the kernel writes (docs/spec.md §5).

What the CPU would accept is more: a flipped bit that it ignores is damage all the same.
"""

import struct
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from model.address_space import DEVICE_BASE
from model.invariants.base import Invariant, Violation
from model.page_entry import (
    ACCESSED,
    ADDRESS_BITS,
    CACHE_DISABLE,
    DIRTY,
    ENTRIES_PER_TABLE,
    ENTRY_BYTES,
    NO_EXECUTE,
    PAGE_SIZE,
    PRESENT,
    USER,
    WRITABLE,
    WRITE_THROUGH,
    Level,
)
from model.paging import FaultReason, PageFault, ReadTable, Step, Translation, sign_extend
from model.spaces import Space, TableUse
from model.types import PAGE_BYTES, PhysicalAddress, VirtualAddress

FORM: Final = Invariant(
    "entries.form",
    "a leaf is frame | P | W | U | PCD and PWT | NX, another entry table | P | W | U; A and D are the CPU's",
    "§5.2: flags are a closed set, U in the whole lower half, PCD and PWT for devices alone",
)
UNUSED: Final = Invariant(
    "entries.unused", "an entry that is not present is 0", "§5.1, §5.4: tables are zeroed, unmap clears to 0"
)
LEADS: Final = Invariant(
    "entries.leads", "an entry that refers to a table leads to RAM", "§5.1: tables are frames"
)

IMAGE: Final = Invariant(
    "entries.image", "entries that lead to image and stack are present", "§2: both are mapped whole"
)

ALL: Final = (FORM, UNUSED, LEADS, IMAGE)

_TABLE: Final = struct.Struct(f"<{ENTRIES_PER_TABLE}Q")
_KERNEL_SLOTS: Final = ENTRIES_PER_TABLE // 2
_EVERY_BIT: Final = (1 << 64) - 1
_DEVICE: Final = CACHE_DISABLE | WRITE_THROUGH
# What may differ from one good entry to the next: the rest is the same in all of a kind.
_FREE_IN_TABLE: Final = ADDRESS_BITS | ACCESSED | DIRTY
_FREE_IN_LEAF: Final = _FREE_IN_TABLE | WRITABLE | NO_EXECUTE
_LARGE_OFFSET: Final = Level.PDE.span_bytes - 1


def check_entries(
    space: Space, read_table: ReadTable, *, user: bool, ram_end: int | None
) -> Iterator[Violation]:
    """Judge every entry of the tables of a space; `subject` is where the entry lies, physical.

    Of a `user` space the lower half alone: the other one is the kernel's. What lies at `ram_end` or above
    is no RAM; None: nothing is known of that.
    """
    for table in space.tables:
        if user and table.virtual >> 63:
            continue
        data = read_table(table.address)
        if data is not None:
            slots = _KERNEL_SLOTS if user and table.entry_address is None else ENTRIES_PER_TABLE
            yield from _table(table, _TABLE.unpack(data)[:slots], space)
    for bad in space.bad:
        lost = bad.reason is FaultReason.UNREADABLE and bad.entry_address is not None
        if lost and ram_end is not None and bad.table >= ram_end and not (user and bad.virtual >> 63):
            because = f"{space.name}, from {bad.virtual:#x}: memory ends at {ram_end:#x}"
            yield Violation(LEADS, int(bad.entry_address or 0), "table", bad.table, None, because)


def _table(table: TableUse, entries: tuple[int, ...], space: Space) -> Iterator[Violation]:
    """The few entries that are neither 0 nor what nearly all are, looked at closely."""
    level = table.level
    lower = PRESENT | USER
    small = level == Level.PTE
    for half, (first, end) in enumerate(_halves(table, len(entries))):
        usual = (PRESENT, lower)[half == 0] | (0 if small else WRITABLE)
        compared = _EVERY_BIT & ~(_FREE_IN_LEAF if small else _FREE_IN_TABLE)
        compared &= _EVERY_BIT if half == 0 else ~USER  # space.user_bit judges that one
        for index in range(first, end):
            entry = entries[index]
            if entry and entry & compared != usual:
                virtual = sign_extend(table.virtual + index * level.span_bytes, 4)
                broken = _broken(entry, level, virtual)
                if broken is not None:
                    at = table.address + ENTRY_BYTES * index
                    because = f"{space.name}, from {virtual:#x}: {broken[1]}"
                    yield Violation(broken[0], at, level.name, entry, None, because)


def _halves(table: TableUse, count: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """The slots of a table that translate the lower half, and those of the upper one."""
    if table.entry_address is None:
        return (0, min(count, _KERNEL_SLOTS)), (_KERNEL_SLOTS, count)
    return ((0, 0), (0, count)) if table.virtual >> 63 else ((0, count), (0, 0))


def _broken(entry: int, level: Level, virtual: VirtualAddress) -> tuple[Invariant, str] | None:
    """The rule that an unusual entry breaks, None for one that is good all the same."""
    if not entry & PRESENT:
        return UNUSED, "it is not in use"
    upper = virtual >> 63 != 0
    leaf = level == Level.PTE or bool(entry & PAGE_SIZE)
    wanted = PRESENT | (0 if upper else USER)
    free = _FREE_IN_LEAF
    if not leaf:
        wanted |= WRITABLE
        free = _FREE_IN_TABLE
    elif level == Level.PDE and upper:
        wanted |= PAGE_SIZE
        free &= ~(_LARGE_OFFSET & ADDRESS_BITS)
    elif level != Level.PTE:
        return FORM, "no page of the kernel is that large there"
    if upper:
        free |= USER
    if leaf and virtual >= DEVICE_BASE:
        wanted |= _DEVICE
    wrong = (entry ^ wanted) & _EVERY_BIT & ~free
    return (FORM, f"bits {wrong:#x} are not as they must be") if wrong else None


def top_entry(root: int, kernel: int, slot: int, read_table: ReadTable) -> Violation:
    """The entry of a top table in use that differs from the kernel's in a slot of the upper half (§5.5)."""
    entries = []
    for table in (root, kernel):
        data = read_table(PhysicalAddress(table))
        entries.append(0 if data is None else _TABLE.unpack(data)[slot])
    because = f"slot {slot} of the table in CR3; the kernel directory {kernel:#x} has another entry"
    return Violation(FORM, root + ENTRY_BYTES * slot, Level.PML4E.name, entries[0], entries[1], because)


def missing_entries(
    pages: Iterable[int], translate: Callable[[VirtualAddress], Translation | PageFault]
) -> Iterator[Violation]:
    """The entries for which `pages`, all of which must be mapped, are not.

    Several in one table, and none that is good, mean a wrong table: then it is the entry that refers to it.
    """
    failing: dict[int, dict[int, Step]] = {}
    referring: dict[int, Step | None] = {}
    passed: set[int] = set()
    for page in pages:
        found = translate(VirtualAddress(page))
        tables = [step.entry_address & -PAGE_BYTES for step in found.steps]
        if isinstance(found, Translation):
            passed.update(tables)
        elif found.reason is FaultReason.UNREADABLE:
            continue  # whether anything is missing is not known
        elif found.steps:
            passed.update(tables[:-2])
            failing.setdefault(tables[-1], {})[found.steps[-1].entry_address] = found.steps[-1]
            referring[tables[-1]] = found.steps[-2] if len(found.steps) > 1 else None
    for table, entries in failing.items():
        above = referring[table]
        wrong = above is not None and table not in passed and len(entries) > 1
        for step in [above] if wrong and above is not None else entries.values():
            because = f"the table it refers to is empty for {len(entries)} pages" if wrong else "not present"
            because += ", image and stack are not mapped"
            yield Violation(IMAGE, step.entry_address, step.level.name, step.entry, None, because)
