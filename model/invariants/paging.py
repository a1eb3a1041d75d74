"""Invariants of an address space: what holds for any kernel, and what docs/spec.md adds for its own."""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

from model.invariants.base import Invariant, Violation
from model.paging import BadTable, Range
from model.types import PAGE_BYTES, PhysicalAddress, VirtualAddress

LOWER_HALF_END: Final = 1 << 63
NULL_GUARD_BYTES: Final = 4 << 20
NULL_PAGE_BYTES: Final = 64 << 10
"""What any kernel keeps free at null; docs/spec.md §14.4 keeps 4 MiB."""

WRITE_XOR_EXECUTE: Final = Invariant(
    "paging.w^x", "no page is both writable and executable", "§2: code is never written, data never run"
)
KERNEL_PRIVATE: Final = Invariant(
    "paging.user", "no page of the upper half has the user bit", "§2: nothing of the kernel is for ring 3"
)
NULL_GUARD: Final = Invariant(
    "paging.null", "no page at null is mapped", "§2, §14.4: a null pointer with an offset must fault"
)
TABLE_PRIVATE: Final = Invariant(
    "paging.table",
    "no page table is mapped where it can be changed",
    "§5.1: tables are written through windows",
)
FREE_UNMAPPED: Final = Invariant(
    "paging.free", "no page leads to a frame that the allocator calls free", "§4.6: a free frame has no owner"
)
WELL_FORMED: Final = Invariant(
    "paging.reserved", "no present entry has a reserved bit set", "SDM vol. 3A §4.5: such an access faults"
)

GENERAL: Final = (WRITE_XOR_EXECUTE, KERNEL_PRIVATE, NULL_GUARD, TABLE_PRIVATE, WELL_FORMED)
"""What is checked of every kernel."""
ALL: Final = (*GENERAL, FREE_UNMAPPED)

Leaf = Callable[[VirtualAddress], int]
"""The raw entry that maps a virtual address."""


def check_ranges(ranges: Iterable[Range], leaf: Leaf, *, strict: bool) -> Iterator[Violation]:
    """Judge every range by itself; `subject` is its first address, `found` the raw entry there.

    `strict` is docs/spec.md; without it, pages of ring 3 may be writable and executable (a kernel may
    let programs do so), and the null guard is 64 KiB.
    """
    guard = NULL_GUARD_BYTES if strict else NULL_PAGE_BYTES
    for part in ranges:
        broken = []
        if part.rights.writable and part.rights.executable and (strict or not part.rights.user):
            broken.append((WRITE_XOR_EXECUTE, "effective rights over all levels are w and x"))
        if part.rights.user and part.virtual >= LOWER_HALF_END:
            broken.append((KERNEL_PRIVATE, "every level of its walk has the user bit"))
        if part.virtual < guard:
            broken.append((NULL_GUARD, f"it maps physical {part.physical:#x}"))
        for invariant, because in broken:
            pages = f"{part.pages} pages: " if part.pages > 1 else ""
            yield Violation(invariant, part.virtual, "entry", leaf(part.virtual), None, pages + because)


def check_user_bits(ranges: Iterable[Range], leaf: Leaf) -> Iterator[Violation]:
    """Leaves of the upper half with the user bit that only the levels above them deny (§2, strictly).

    `ranges` carry the rights of their leaves alone.
    """
    for part in ranges:
        if part.rights.user and part.virtual >= LOWER_HALF_END:
            because = f"the leaf has the user bit ({part.pages} pages), a level above it does not"
            yield Violation(KERNEL_PRIVATE, part.virtual, "entry", leaf(part.virtual), None, because)


def check_tables(
    ranges: Iterable[Range], tables: Sequence[PhysicalAddress], *, strict: bool
) -> Iterator[Violation]:
    """Pages that lead to one of `tables` (ascending); `found` is the table.

    `strict`: nobody may write a table through a page. Without it the kernel may, as it does through a
    direct map of all memory; ring 3 may neither read nor write one.
    """
    for part in ranges:
        if not part.rights.user and not (strict and part.rights.writable):
            continue
        end = part.physical + (part.end - part.virtual)
        at = bisect_left(tables, part.physical)
        while at < len(tables) and tables[at] < end:
            virtual = part.virtual + (tables[at] - part.physical)
            who = "ring 3" if part.rights.user else "the kernel"
            what = "written" if part.rights.writable else "read"
            because = f"this page table can be {what} by {who} through this page"
            yield Violation(TABLE_PRIVATE, virtual, "physical", tables[at], None, because)
            at += 1


def check_free(part: Range, free: Iterable[int]) -> Iterator[Violation]:
    """A range and those of its frames that are free."""
    for frame in free:
        virtual = part.virtual + (frame - part.physical)
        because = "the frame is in the free list, and this page still leads to it"
        yield Violation(FREE_UNMAPPED, virtual & -PAGE_BYTES, "physical", frame, None, because)


def check_entries(bad: Iterable[tuple[BadTable, int]]) -> Iterator[Violation]:
    """Entries with reserved bits, each with its raw value; `subject` is the entry's physical address."""
    for part, entry in bad:
        because = f"bits {part.reserved_bits:#x} are reserved; it is for {part.virtual:#x}"
        subject = part.entry_address or 0
        yield Violation(WELL_FORMED, subject, part.level.name, entry, None, because)
