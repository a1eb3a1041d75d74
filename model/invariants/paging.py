"""Invariants of an address space that hold for any kernel; `layout` and `ownership` are stricter for ours."""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

from model.invariants.base import Invariant, Violation
from model.paging import BadTable, Range
from model.types import PhysicalAddress, VirtualAddress

LOWER_HALF_END: Final = 1 << 63
NULL_GUARD_BYTES: Final = 64 << 10
"""What any kernel keeps free at null; docs/spec.md §14.4 keeps 4 MiB."""

WRITE_XOR_EXECUTE: Final = Invariant(
    "paging.w^x",
    "no page of the kernel is both writable and executable",
    "§2: code is never written, data never run",
)
KERNEL_PRIVATE: Final = Invariant(
    "paging.user", "no page of the upper half has the user bit", "§2: nothing of the kernel is for ring 3"
)
NULL_GUARD: Final = Invariant(
    "paging.null", "no page at null is mapped", "§2, §14.4: a null pointer with an offset must fault"
)
TABLE_PRIVATE: Final = Invariant(
    "paging.table", "no page table is mapped for ring 3", "§5.1: who writes a table writes its own rights"
)
WELL_FORMED: Final = Invariant(
    "paging.reserved", "no present entry has a reserved bit set", "SDM vol. 3A §4.5: such an access faults"
)
WINDOW: Final = Invariant("paging.window", "the window table is all 0 when no operation is under way", "§5.1")

GENERAL: Final = (WRITE_XOR_EXECUTE, KERNEL_PRIVATE, NULL_GUARD, TABLE_PRIVATE, WELL_FORMED)
"""What is checked of every kernel."""
ALL: Final = (*GENERAL, WINDOW)

Leaf = Callable[[VirtualAddress], int]
"""The raw entry that maps a virtual address."""


def check_ranges(ranges: Iterable[Range], leaf: Leaf) -> Iterator[Violation]:
    """Judge every range by itself; `subject` is its first address, `found` the raw entry there.

    Pages of ring 3 may be writable and executable: a kernel may let programs do so.
    """
    for part in ranges:
        broken = []
        if part.rights.writable and part.rights.executable and not part.rights.user:
            broken.append((WRITE_XOR_EXECUTE, "effective rights over all levels are w and x"))
        if part.rights.user and part.virtual >= LOWER_HALF_END:
            broken.append((KERNEL_PRIVATE, "every level of its walk has the user bit"))
        if part.virtual < NULL_GUARD_BYTES:
            broken.append((NULL_GUARD, f"it maps physical {part.physical:#x}"))
        for invariant, because in broken:
            pages = f"{part.pages} pages: " if part.pages > 1 else ""
            yield Violation(invariant, part.virtual, "entry", leaf(part.virtual), None, pages + because)


def check_tables(ranges: Iterable[Range], tables: Sequence[PhysicalAddress]) -> Iterator[Violation]:
    """Pages of ring 3 that lead to one of `tables` (ascending); `found` is the table.

    The kernel may write a table through a page, as it does through a direct map of all memory.
    """
    for part in ranges:
        if not part.rights.user:
            continue
        end = part.physical + (part.end - part.virtual)
        at = bisect_left(tables, part.physical)
        while at < len(tables) and tables[at] < end:
            virtual = part.virtual + (tables[at] - part.physical)
            what = "written" if part.rights.writable else "read"
            because = f"this page table can be {what} by ring 3 through this page"
            yield Violation(TABLE_PRIVATE, virtual, "physical", tables[at], None, because)
            at += 1


def check_entries(bad: Iterable[tuple[BadTable, int]]) -> Iterator[Violation]:
    """Entries with reserved bits, each with its raw value; `subject` is the first address they are for."""
    for part, entry in bad:
        because = f"bits {part.reserved_bits:#x} are reserved; the entry lies at {part.entry_address or 0:#x}"
        yield Violation(WELL_FORMED, part.virtual, part.level.name, entry, None, because)


def check_windows(entries: Iterable[int], table: int) -> Iterator[Violation]:
    """Judge the window table at rest, by its 512 entries."""
    for slot, entry in enumerate(entries):
        if entry:
            yield Violation(WINDOW, table, f"entry {slot}", entry, 0, "no operation is under way")
