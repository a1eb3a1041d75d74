"""`--audit`: the rights and the layout of address spaces, as far as this kernel lets them be judged."""

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, field

from coronel_gdb.checks.paging import page_findings
from coronel_gdb.errors import ReadFault
from coronel_gdb.lift.activity import is_held
from coronel_gdb.lift.kernel_image import KernelImage
from coronel_gdb.lift.owner import frame_manager, free_frames
from coronel_gdb.lift.pages import EXECUTE, USER, WRITE, Pages, Progress
from coronel_gdb.lift.space import AddressSpace
from coronel_gdb.lift.spaces import KnownSpace
from coronel_gdb.lift.whole import whole_space
from coronel_gdb.profiles.schema import ListProfile
from coronel_gdb.protocols import Target
from coronel_gdb.report import Absent, Report
from model.address_space import WINDOW_BASE, WINDOW_END, linear_physical
from model.invariants.base import Violation
from model.invariants.layout import (
    LAYOUT_RULES,
    NO_USER_ZONES,
    USER_ZONES,
    Zone,
    check_layout,
    kernel_zones,
)
from model.invariants.paging import (
    FREE_UNMAPPED,
    GENERAL,
    LOWER_HALF_END,
    NULL_GUARD_BYTES,
    check_entries,
    check_free,
    check_ranges,
    check_tables,
    check_user_bits,
)
from model.paging import FaultReason, Range, Translation
from model.types import PhysicalAddress, VirtualAddress


@dataclass(frozen=True, slots=True)
class Audited:
    """A space to judge, walked; `upper`: its upper half too, which another one may have been judged for."""

    known: KnownSpace
    space: AddressSpace
    pages: Pages
    upper: bool


@dataclass(slots=True)
class Audit:
    """What all spaces are judged by, and what came of it.

    `space` is the one the kernel's variables are read through; `image` is None for a kernel that
    docs/spec.md does not describe: then only what holds for every kernel is judged, and `why` says so.
    """

    target: Target
    space: AddressSpace
    image: KernelImage | None
    frames: ListProfile | None
    why: str
    progress: Progress
    tables: list[PhysicalAddress] = field(default_factory=list)
    violations: list[Violation] = field(default_factory=list)
    absent: list[Absent] = field(default_factory=list)
    checked: int = 0
    kernel_writes: int = 0

    def know_tables(self, tables: set[int]) -> None:
        """The page tables of all spaces; those that the image itself holds are written there (§5.1)."""
        if self.image is not None:
            tables = tables - {linear_physical(self.image.symbols.window_table)}
        self.tables = [PhysicalAddress(table) for table in sorted(tables)]

    def judge(self, one: Audited) -> None:
        """Everything about one space."""
        strict = self.image is not None
        pages = one.pages if one.upper else _lower_half(one.pages)
        leaf = _leaf_of(one.space)
        self.violations += check_ranges(_suspects(pages).ranges(), leaf, strict=strict)
        ranges = [part for part in _touching(pages, self.tables) if not self._is_window(part)]
        self.violations += check_tables(ranges, self.tables, strict=strict)
        self.kernel_writes += sum(part.rights.writable and not part.rights.user for part in ranges)
        self.violations += check_entries(
            (bad, one.space.entry(bad.entry_address) or 0)
            for bad in one.pages.bad
            if bad.reason is FaultReason.RESERVED_BIT and bad.entry_address is not None
        )
        self._self_maps(one, strict=strict)
        self.checked += len(GENERAL) * pages.count
        if self.image is None:
            return
        if one.known.pid is None and one.known.root != self.image.directory:
            why = "these tables are neither the kernel directory nor a process's"
            self.absent.append(Absent(f"layout of {one.known.name}", why))
            return
        zones: tuple[Zone, ...] = USER_ZONES if one.known.pid is not None else NO_USER_ZONES
        if one.upper:
            zones += kernel_zones(self.image.symbols, self.image.placement_end)
            raw = whole_space(one.space, effective=False, progress=self.progress)
            quiet = {violation.subject for violation in self.violations}
            self.violations += [
                found for found in check_user_bits(raw.ranges(), leaf) if found.subject not in quiet
            ]
        self.violations += check_layout(pages.ranges(), zones, leaf)
        self.checked += len(LAYOUT_RULES) * pages.count
        self._free(pages)

    def report(self, report: Report) -> None:
        """Put the outcome into the report."""
        report.findings += page_findings(dict.fromkeys(self.violations))
        report.checked = self.checked
        report.not_checked += self.absent
        report.facts.append(("audit", f"{len(report.findings)} findings, {self.checked:,} checks"))
        if self.image is None:
            ranges = f"{self.kernel_writes} ranges reach one of {len(self.tables)} page tables"
            report.facts.append(("direct map", f"the kernel can write page tables: {ranges}"))
            report.facts.append(("not checkable", f"layout, mapped free frames: {self.why}"))

    def _is_window(self, part: Range) -> bool:
        """Windows lead to tables and to any frame while an operation is under way (§5.1)."""
        return self.image is not None and WINDOW_BASE <= part.virtual < WINDOW_END

    def _self_maps(self, one: Audited, *, strict: bool) -> None:
        for found in one.pages.self_maps:
            # One page stands for the whole window onto the tables.
            part = Range(
                found.virtual, VirtualAddress(found.virtual + 4096), found.table, found.rights, 4096, 1
            )
            self.violations += check_tables([part], [found.table], strict=strict)

    def _free(self, pages: Pages) -> None:
        if self.frames is None:
            return
        manager = frame_manager(self.target, self.space, self.frames)
        if manager is None:
            self.absent.append(Absent(FREE_UNMAPPED.formula, "the frame manager cannot be read"))
            return
        if is_held(manager.locked):
            self.absent.append(Absent(FREE_UNMAPPED.formula, "the frame manager is busy: its lock is held"))
            return
        for part in pages.ranges():
            if self._is_window(part):
                continue
            for first, last in manager.ranges:
                start = max(part.physical, first)
                end = min(part.physical + (part.end - part.virtual), last)
                if start >= end:
                    continue
                try:
                    free = free_frames(self.space, manager, self.frames, start, end)
                except ReadFault as fault:
                    self.absent.append(Absent(f"free frames mapped at {part.virtual:#x}", str(fault)))
                    continue
                self.violations += check_free(part, free)
                self.checked += (end - start) // 4096


def shares_upper_half(space: AddressSpace, kernel: AddressSpace) -> bool:
    """Whether the upper half of both top tables holds the same entries, A and D aside (§5.5)."""
    halves = []
    for one in (space, kernel):
        data = one.table(one.root)
        if data is None:
            return False
        halves.append([int.from_bytes(data[at : at + 8], "little") & ~0x60 for at in range(2048, 4096, 8)])
    return halves[0] == halves[1]


def _leaf_of(space: AddressSpace) -> "_Leaf":
    return _Leaf(space)


class _Leaf:
    """The raw entry that maps an address, 0 when none does."""

    def __init__(self, space: AddressSpace) -> None:
        self._space = space

    def __call__(self, address: VirtualAddress) -> int:
        found = self._space.translate(address)
        return found.leaf if isinstance(found, Translation) else 0


def _lower_half(pages: Pages) -> Pages:
    return pages.chosen([index for index, start in enumerate(pages.starts) if start < LOWER_HALF_END])


def _suspects(pages: Pages) -> Pages:
    """The few ranges of which a right or the place is unusual; the others cannot break a rule."""
    return pages.chosen(
        [
            index
            for index, (start, kind) in enumerate(zip(pages.starts, pages.kinds, strict=True))
            if kind & (WRITE | EXECUTE) == WRITE | EXECUTE
            or start < NULL_GUARD_BYTES
            or (kind & USER and start >= LOWER_HALF_END)
        ]
    )


def _touching(pages: Pages, tables: list[PhysicalAddress]) -> Iterator[Range]:
    """The ranges that lead to a page table and could do harm."""
    for index, (physical, kind) in enumerate(zip(pages.physical, pages.kinds, strict=True)):
        if kind & (USER | WRITE):
            at = bisect_left(tables, physical)
            if at < len(tables) and tables[at] < physical + pages.size_bytes(index):
                yield pages.range(index)
