"""Invariants of the kernel's address space as a whole: the table of docs/spec.md §2, run by run."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from model.address_space import (
    DEVICE_BASE,
    DEVICE_END,
    IMAGE_END,
    IMAGE_START,
    KERNEL_BASE,
    MMAP_END,
    MMAP_START,
    PROGRAM_END,
    PROGRAM_START,
    STACK_END,
    STACK_GUARD,
    STACK_START,
    USER_HEAP_LIMIT,
    USER_HEAP_START,
    USER_STACK_END,
    USER_STACK_START,
    WINDOW_BASE,
    WINDOW_END,
    linear,
    linear_physical,
)
from model.invariants.base import Invariant, Violation
from model.page_entry import CACHE_DISABLE, WRITE_THROUGH
from model.paging import FaultReason
from model.spaces import MappedRun, Space
from model.types import LARGE_PAGE_BYTES, PAGE_BYTES, align_up, is_aligned

SYMBOLS: Final = Invariant(
    "layout.symbols",
    "section symbols ascend page by page from +1 MiB to the guard",
    "§2: checked by the linker",
)
RIGHTS: Final = Invariant(
    "layout.rights",
    "code is r-x, constants are r--, all else is rw-, nothing has the user bit; PCD and PWT are set "
    "exactly in devices",
    "§2: W^X, NX, no user bit; §5.7",
)
PLACE: Final = Invariant(
    "layout.place",
    "a page lies in an area: none in low memory, the gap, the stack guard, before V0, at the last page",
    "§2: an overflow and a stray pointer must fault",
)
MISSING: Final = Invariant("layout.missing", "image, stack and placement area are mapped whole", "§2, §5.6")
LINEAR: Final = Invariant(
    "layout.linear", "image and placement area: virtual = physical + KERNEL_BASE", "§1.1, §2"
)
SPACE: Final = Invariant("layout.space", "kernel regions run from V0 to WINDOW_BASE", "§2, §6.7")

ALL: Final = (SYMBOLS, RIGHTS, PLACE, MISSING, LINEAR, SPACE)

_ORDER: Final = ("text_start", "text_end", "rodata_start", "rodata_end", "data_start", "bss_end")
_UNCACHED: Final = CACHE_DISABLE | WRITE_THROUGH


@dataclass(frozen=True, slots=True)
class Area:
    """A row of §2 or §14.4: [start, end) and the rights of its pages, empty where none may be.

    `linear`: its pages are all there, each mapped to its linear address (§1.1).
    """

    name: str
    start: int
    end: int
    rights: str = ""
    linear: bool = False


def kernel_areas(symbols: Mapping[str, int], placement_end: int) -> list[Area]:
    """The table of §2 in ascending order; `placement_end` is physical, `symbols` are by role."""
    end, v0 = linear(placement_end), first_region(placement_end)
    return [
        Area("upper half below the kernel", 1 << 63, KERNEL_BASE),
        Area("low memory", KERNEL_BASE, IMAGE_START),
        Area("kernel code", symbols["text_start"], symbols["text_end"], "r-x", linear=True),
        Area("kernel constants", symbols["rodata_start"], symbols["rodata_end"], "r--", linear=True),
        Area("kernel data and bss", symbols["data_start"], symbols["bss_end"], "rw-", linear=True),
        Area("gap of the image", symbols["bss_end"], STACK_GUARD),
        Area("stack guard", STACK_GUARD, STACK_START),
        Area("kernel stack", STACK_START, STACK_END, "rw-", linear=True),
        Area("placement area", IMAGE_END, end, "rw-", linear=True),
        Area("rest of the placement area", end, v0),
        Area("regions of the kernel virtual manager", v0, WINDOW_BASE, "rw-"),
        Area("windows", WINDOW_BASE, WINDOW_END, "rw-"),
        Area("devices", DEVICE_BASE, DEVICE_END, "rw-"),
        Area("last page", DEVICE_END, 1 << 64),
    ]


_PROCESS_AREAS: Final = (
    Area("null guard", 0, PROGRAM_START),
    Area("code and data", PROGRAM_START, PROGRAM_END, "r-x or rw-"),
    Area("heap", USER_HEAP_START, USER_HEAP_LIMIT, "rw-"),
    Area("mmap", MMAP_START, MMAP_END, "rw- or r--"),
    Area("reserved", MMAP_END, USER_STACK_START - PAGE_BYTES),
    Area("stack guard of the process", USER_STACK_START - PAGE_BYTES, USER_STACK_START),
    Area("stack of the process", USER_STACK_START, USER_STACK_END, "rw-"),
    Area("lower half beyond the process", USER_STACK_END, 1 << 63),
)  # §14.4


def area_at(address: int, kernel: Sequence[Area]) -> Area | None:
    """The row of §2 or §14.4 that an address belongs to."""
    areas = (*_PROCESS_AREAS, *kernel)
    return next((area for area in areas if area.start <= address < area.end), None)


def first_region(placement_end: int) -> int:
    """V0: where the regions of the kernel's virtual manager begin."""
    return align_up(linear(placement_end), LARGE_PAGE_BYTES)


def check_symbols(symbols: Mapping[str, int]) -> list[Violation]:
    """Judge the section symbols by role (`text_start` …, `end`)."""
    violations = []
    before = int(IMAGE_START)
    for role in _ORDER:
        address = symbols[role]
        if not is_aligned(address, PAGE_BYTES) or address < before:
            because = f"it must be page aligned and at {before:#x} or above"
            violations.append(Violation(SYMBOLS, address, role, address, None, because))
        before = address
    if symbols["text_start"] != IMAGE_START:
        violations.append(
            Violation(SYMBOLS, symbols["text_start"], "text_start", symbols["text_start"], IMAGE_START, "")
        )
    if before > STACK_GUARD:
        violations.append(
            Violation(SYMBOLS, before, "bss_end", before, None, f"the guard is at {STACK_GUARD:#x}")
        )
    if symbols["end"] != IMAGE_END:
        violations.append(Violation(SYMBOLS, symbols["end"], "end", symbols["end"], IMAGE_END, ""))
    return violations


def check_space(start: int, end: int, placement_end: int) -> list[Violation]:
    """Judge the space of the kernel's virtual manager, [start, end)."""
    pairs = (("start_", start, first_region(placement_end)), ("end_", end, WINDOW_BASE))
    return [
        Violation(SPACE, found, name, found, expected, "up(placement end, 2 MiB), or WINDOW_BASE")
        for name, found, expected in pairs
        if found != expected
    ]


def check_kernel_pages(kernel: Space, areas: Sequence[Area]) -> list[Violation]:
    """Judge every page of the kernel half against the areas."""
    violations: list[Violation] = []
    allowed = [area for area in areas if area.rights]
    missing: list[list[tuple[int, int]]] = [[] for _ in allowed]
    reached = [area.start for area in allowed]
    for run in kernel.runs:
        if not run.virtual >> 63:
            continue
        at, end = int(run.virtual), run.virtual + run.size_bytes
        for number, area in enumerate(allowed):
            start, stop = max(at, area.start), min(end, area.end)
            if start >= stop:
                continue
            if start > at:
                violations.append(_misplaced(at, start, run))
            at = stop
            if start > reached[number]:
                missing[number].append((reached[number], start))
            reached[number] = stop
            violations += _in_area(run, start, area)
        if at < end:
            violations.append(_misplaced(at, end, run))
    for number, area in enumerate(allowed):
        if reached[number] < area.end:
            missing[number].append((reached[number], area.end))
        for start, end in _known(missing[number], kernel) if area.linear else ():
            because = f"{(end - start) // PAGE_BYTES} pages from there, of [{area.start:#x}, {area.end:#x})"
            violations.append(Violation(MISSING, start, area.name, 0, end - start, because))
    return violations


def _known(missing: Sequence[tuple[int, int]], kernel: Space) -> Iterator[tuple[int, int]]:
    """Those of the ranges, or parts of them, of which it is known that they are not mapped."""
    # The top table, which nothing refers to, leads to both halves.
    hidden = [
        (int(bad.virtual), bad.virtual + bad.span_bytes if bad.entry_address is not None else 1 << 64)
        for bad in kernel.bad
        if bad.reason is FaultReason.UNREADABLE
    ]
    for first, end in missing:
        at = first
        for low, high in sorted(hidden):
            if low < end and at < high:
                if at < low:
                    yield at, low
                at = max(at, high)
        if at < end:
            yield at, end


def _in_area(run: MappedRun, start: int, area: Area) -> list[Violation]:
    violations = []
    rights = f"r{'w' if run.rights.writable else '-'}{'x' if run.rights.executable else '-'}"
    uncached = run.entry & _UNCACHED
    wrong = (
        rights != area.rights or run.rights.user or uncached != (_UNCACHED if area.name == "devices" else 0)
    )
    if wrong:
        who = " for ring 3" if run.rights.user else ""
        cached = {0: "cached", _UNCACHED: "not cached"}.get(uncached, "with one of PCD and PWT")
        because = f"{area.name}: {area.rights} for the kernel, it is {rights}{who}, {cached}"
        violations.append(Violation(RIGHTS, start, "entry", run.entry, None, because))
    physical = run.physical + start - run.virtual
    if area.linear and physical != linear_physical(start):
        violations.append(Violation(LINEAR, start, "physical", physical, linear_physical(start), area.name))
    return violations


def _misplaced(start: int, end: int, run: MappedRun) -> Violation:
    return Violation(PLACE, start, "entry", run.entry, None, f"[{start:#x}, {end:#x}) belongs to no area")
