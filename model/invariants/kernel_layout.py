"""Invariants of the kernel's address space as a whole: the table of docs/spec.md §2, page by page."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from model.address_space import (
    DEVICE_BASE,
    DEVICE_END,
    IMAGE_END,
    IMAGE_START,
    STACK_END,
    STACK_GUARD,
    STACK_START,
    WINDOW_BASE,
    WINDOW_END,
    linear,
    linear_physical,
)
from model.invariants.base import Invariant, Violation
from model.page_entry import CACHE_DISABLE, WRITE_THROUGH
from model.spaces import MappedRun, Space
from model.types import LARGE_PAGE_BYTES, PAGE_BYTES, align_up, is_aligned

SYMBOLS: Final = Invariant(
    "layout.symbols",
    "section symbols ascend page by page from +1 MiB to the guard",
    "§2: checked by the linker",
)
RIGHTS: Final = Invariant("layout.rights", "every area has its own rights", "§2: W^X, NX, no user bit")
PLACE: Final = Invariant(
    "layout.place", "a page lies in an area", "§2: low memory, gap and guard are not mapped"
)
MISSING: Final = Invariant("layout.missing", "image, stack and placement area are mapped whole", "§2, §5.6")
LINEAR: Final = Invariant(
    "layout.linear", "image and placement area: virtual = physical + KERNEL_BASE", "§1.1, §2"
)
SPACE: Final = Invariant("layout.space", "kernel regions run from V0 to WINDOW_BASE", "§2, §6.7")

ALL: Final = (SYMBOLS, RIGHTS, PLACE, MISSING, LINEAR, SPACE)

_ORDER: Final = ("text_start", "text_end", "rodata_start", "rodata_end", "data_start", "bss_end")


@dataclass(frozen=True, slots=True)
class Area:
    """[start, end) of the kernel half; `whole`: every page of it is mapped, `is_linear`: by one rule."""

    name: str
    start: int
    end: int
    rights: str
    whole: bool = False
    is_linear: bool = False


def kernel_areas(symbols: Mapping[str, int], placement_end: int) -> list[Area]:
    """The table of §2 in ascending order; `placement_end` is physical, `symbols` are by role."""
    v0 = align_up(linear(placement_end), LARGE_PAGE_BYTES)
    return [
        Area("code", symbols["text_start"], symbols["text_end"], "r-x", whole=True, is_linear=True),
        Area("constants", symbols["rodata_start"], symbols["rodata_end"], "r--", whole=True, is_linear=True),
        Area("data and bss", symbols["data_start"], symbols["bss_end"], "rw-", whole=True, is_linear=True),
        Area("stack", STACK_START, STACK_END, "rw-", whole=True, is_linear=True),
        Area("placement area", IMAGE_END, linear(placement_end), "rw-", whole=True, is_linear=True),
        Area("regions", v0, WINDOW_BASE, "rw-"),
        Area("windows", WINDOW_BASE, WINDOW_END, "rw-"),
        Area("devices", DEVICE_BASE, DEVICE_END, "rw-"),
    ]


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
    v0 = align_up(linear(placement_end), LARGE_PAGE_BYTES)
    pairs = (("start_", start, v0), ("end_", end, WINDOW_BASE))
    return [
        Violation(SPACE, found, name, found, expected, "up(placement end, 2 MiB), or WINDOW_BASE")
        for name, found, expected in pairs
        if found != expected
    ]


def check_kernel_pages(kernel: Space, areas: Sequence[Area]) -> list[Violation]:
    """Judge every page of the kernel half against the areas."""
    violations: list[Violation] = []
    covered = [0] * len(areas)
    for run in kernel.runs:
        if not run.virtual >> 63:
            continue
        at, end = int(run.virtual), run.virtual + run.size_bytes
        for number, area in enumerate(areas):
            start, stop = max(at, area.start), min(end, area.end)
            if start >= stop:
                continue
            if start > at:
                violations.append(_misplaced(at, start, run))
            at = stop
            covered[number] += stop - start
            violations += _in_area(run, start, area)
        if at < end:
            violations.append(_misplaced(at, end, run))
    for number, area in enumerate(areas):
        missing = area.end - area.start - covered[number]
        if area.whole and missing > 0:
            because = f"{missing // PAGE_BYTES} pages of {area.name} [{area.start:#x}, {area.end:#x})"
            violations.append(
                Violation(MISSING, area.start, area.name, covered[number], area.end - area.start, because)
            )
    return violations


def _in_area(run: MappedRun, start: int, area: Area) -> list[Violation]:
    violations = []
    rights = f"r{'w' if run.rights.writable else '-'}{'x' if run.rights.executable else '-'}"
    uncached = run.entry & (CACHE_DISABLE | WRITE_THROUGH) == CACHE_DISABLE | WRITE_THROUGH
    wrong = rights != area.rights or run.rights.user or (area.name == "devices") != uncached
    if wrong:
        who = " for ring 3" if run.rights.user else ""
        cached = "not cached" if uncached else "cached"
        because = f"{area.name} is {area.rights} for the kernel, it is {rights}{who}, {cached}"
        violations.append(Violation(RIGHTS, start, "entry", run.entry, None, because))
    physical = run.physical + start - run.virtual
    if area.is_linear and physical != linear_physical(start):
        violations.append(Violation(LINEAR, start, "physical", physical, linear_physical(start), area.name))
    return violations


def _misplaced(start: int, end: int, run: MappedRun) -> Violation:
    return Violation(PLACE, start, "entry", run.entry, None, f"[{start:#x}, {end:#x}) belongs to no area")
