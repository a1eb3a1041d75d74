"""The kernel's address space by docs/spec.md §2, a process's by §14.4: which page may be where, and how."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from model.address_space import (
    DEVICE_BASE,
    DEVICE_END,
    IMAGE_END,
    IMAGE_START,
    KERNEL_BASE,
    STACK_END,
    STACK_GUARD,
    STACK_START,
    WINDOW_BASE,
    WINDOW_END,
    ImageSymbols,
    linear,
    linear_physical,
)
from model.invariants.base import Invariant, Violation
from model.page_entry import CACHE_DISABLE, WRITE_THROUGH
from model.paging import Range, Rights
from model.types import LARGE_PAGE_BYTES, PAGE_BYTES, VirtualAddress, align_up

LAYOUT: Final = Invariant(
    "paging.layout", "every page lies where §2 and §14.4 allow it, with their rights", "§2, §14.4: the table"
)
COMPLETE: Final = Invariant(
    "paging.complete", "image, stack and placement area are mapped whole", "§5.6: mapped page by page at boot"
)
LAYOUT_RULES: Final = (LAYOUT, COMPLETE)

_UNCACHED: Final = CACHE_DISABLE | WRITE_THROUGH
_READ: Final = Rights(writable=False, user=False, executable=False)
_CODE: Final = Rights(writable=False, user=False, executable=True)
_DATA: Final = Rights(writable=True, user=False, executable=False)
_USER_READ: Final = Rights(writable=False, user=True, executable=False)
_USER_CODE: Final = Rights(writable=False, user=True, executable=True)
_USER_DATA: Final = Rights(writable=True, user=True, executable=False)


@dataclass(frozen=True, slots=True)
class Zone:
    """A row of the table: [start, end), what it is, which rights its pages may have (none: no pages).

    `linear`: its pages are all there, each mapped to its linear address (§1.1).
    """

    start: int
    end: int
    what: str
    allowed: tuple[Rights, ...] = ()
    linear: bool = False
    uncached: bool = False  # PCD and PWT in every leaf (§5.2)


def kernel_zones(symbols: ImageSymbols, placement_end: int) -> tuple[Zone, ...]:
    """The rows of §2 for the whole upper half, in ascending order and without a gap."""
    area_end = linear(placement_end)
    first_region = align_up(area_end, LARGE_PAGE_BYTES)  # V0
    return (
        Zone(1 << 63, KERNEL_BASE, "upper half below the kernel"),
        Zone(KERNEL_BASE, IMAGE_START, "low memory"),
        Zone(symbols.text_start, symbols.text_end, "code", (_CODE,), linear=True),
        Zone(symbols.rodata_start, symbols.rodata_end, "constants", (_READ,), linear=True),
        Zone(symbols.data_start, symbols.bss_end, "data and bss", (_DATA,), linear=True),
        Zone(symbols.bss_end, STACK_GUARD, "gap of the image"),
        Zone(STACK_GUARD, STACK_START, "stack guard"),
        Zone(STACK_START, STACK_END, "kernel stack", (_DATA,), linear=True),
        Zone(IMAGE_END, area_end, "placement area", (_DATA,), linear=True),
        Zone(area_end, first_region, "rest of the placement area"),
        Zone(first_region, WINDOW_BASE, "regions of the kernel virtual manager", (_DATA,)),
        Zone(WINDOW_BASE, WINDOW_END, "windows", (_DATA,)),
        Zone(DEVICE_BASE, DEVICE_END, "devices", (_DATA,), uncached=True),
        Zone(DEVICE_END, 1 << 64, "last page"),
    )


USER_ZONES: Final = (
    Zone(0, 0x400000, "null guard"),
    Zone(0x400000, 0x8000000, "code and data", (_USER_CODE, _USER_DATA)),
    Zone(0x8000000, 0x40000000, "heap", (_USER_DATA,)),
    Zone(0x40000000, 0x70000000, "mmap", (_USER_DATA, _USER_READ)),
    Zone(0x70000000, 0x7F7FF000, "reserved"),
    Zone(0x7F7FF000, 0x7F800000, "stack guard of the process"),
    Zone(0x7F800000, 0x80000000, "stack of the process", (_USER_DATA,)),
    Zone(0x80000000, 1 << 63, "lower half beyond the process"),
)
"""The rows of §14.4."""
NO_USER_ZONES: Final = (Zone(0, 1 << 63, "lower half of the kernel directory"),)


def place_of(address: int, symbols: ImageSymbols, placement_end: int) -> str | None:
    """The row of §2 or §14.4 that an address belongs to."""
    for zone in (*USER_ZONES, *kernel_zones(symbols, placement_end)):
        if zone.start <= address < zone.end:
            return zone.what if zone.allowed else f"{zone.what} (never mapped)"
    return None


def check_layout(
    ranges: Iterable[Range], zones: Iterable[Zone], leaf: Callable[[VirtualAddress], int]
) -> Iterator[Violation]:
    """Judge ascending ranges by ascending zones; `subject` is the first address that is wrong.

    `leaf` gives the raw entry that maps an address.
    """
    mapped = list(ranges)
    at = 0
    for zone in zones:
        while at < len(mapped) and mapped[at].end <= zone.start:
            at += 1
        covered, index = zone.start, at
        while index < len(mapped) and mapped[index].virtual < zone.end:
            part = mapped[index]
            start, end = max(part.virtual, zone.start), min(part.end, zone.end)
            if zone.linear and start > covered:
                yield _gap(zone, covered, start)
            covered = end
            yield from _judge(part, start, end, zone)
            if zone.uncached and leaf(VirtualAddress(start)) & _UNCACHED != _UNCACHED:
                because = f"{zone.what}: PCD and PWT must be set"
                yield Violation(LAYOUT, start, "entry", leaf(VirtualAddress(start)), None, because)
            index += 1
        if zone.linear and covered < zone.end:
            yield _gap(zone, covered, zone.end)


def _judge(part: Range, start: int, end: int, zone: Zone) -> Iterator[Violation]:
    pages = f"{(end - start) // PAGE_BYTES} pages"
    physical = part.physical + (start - part.virtual)
    if not zone.allowed:
        because = f"{zone.what}: never mapped, but {pages} are there"
        yield Violation(LAYOUT, start, "physical", physical, None, because)
        return
    if part.rights not in zone.allowed:
        because = (
            f"{zone.what}: {pages} are {_text(part.rights)}, not {' or '.join(map(_text, zone.allowed))}"
        )
        yield Violation(LAYOUT, start, "physical", physical, None, because)
    if zone.linear and physical != linear_physical(start):
        because = f"{zone.what}: {pages} must be linear"
        yield Violation(LAYOUT, start, "physical", physical, linear_physical(start), because)


def _gap(zone: Zone, start: int, end: int) -> Violation:
    because = f"{zone.what}: {(end - start) // PAGE_BYTES} pages are not mapped"
    return Violation(COMPLETE, start, "physical", 0, linear_physical(start), because)


def _text(rights: Rights) -> str:
    letters = f"r{'w' if rights.writable else '-'}{'x' if rights.executable else '-'}"
    return f"{letters} {'user' if rights.user else 'kernel'}"
