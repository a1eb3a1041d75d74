"""Invariants of the kernel's address space (docs/spec.md §2): what any page of it must obey."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final

from model.address_space import (
    DEVICE_BASE,
    DEVICE_END,
    IMAGE_END,
    IMAGE_START,
    KERNEL_BASE,
    STACK_START,
    WINDOW_BASE,
    WINDOW_END,
    ImageSymbols,
    linear,
)
from model.invariants.base import Invariant, Violation
from model.page_entry import CACHE_DISABLE, WRITE_THROUGH
from model.paging import Mapping
from model.types import LARGE_PAGE_BYTES, PhysicalAddress, align_up

LOWER_HALF_END: Final = 1 << 63
NULL_GUARD_BYTES: Final = 4 << 20

WRITE_XOR_EXECUTE: Final = Invariant(
    "paging.w^x", "no page is both writable and executable", "§2: code is never written, data never run"
)
KERNEL_PRIVATE: Final = Invariant(
    "paging.user", "no page of the upper half has the user bit", "§2: nothing of the kernel is for ring 3"
)
NULL_GUARD: Final = Invariant(
    "paging.null", "no page below 4 MiB is mapped", "§2: a null pointer with an offset must fault"
)

GUARD: Final = Invariant(
    "paging.guard",
    "nothing is mapped below 1 MiB of the image, in the gap behind bss, in the stack guard, "
    "between the placement area and V0, at the last page",
    "§2: an overflow and a stray pointer must fault",
)
LINEAR: Final = Invariant(
    "paging.linear",
    "in the image and the placement area virtual = physical + KERNEL_BASE",
    "§1.1: what the boot placed stays where it is",
)
DEVICE: Final = Invariant(
    "paging.device", "a page has PCD and PWT exactly when it lies at DEVICE_BASE or above", "§2, §5.7"
)
ALIAS: Final = Invariant(
    "paging.alias",
    "outside devices and windows no page of RAM is mapped at two addresses of the kernel",
    "§6.3, §7.8: every mapping has a frame of its own",
)
TABLE_ONCE: Final = Invariant(
    "paging.table", "no table is reached by two entries", "§5.3: a missing table is a fresh frame"
)
WINDOW: Final = Invariant("paging.window", "the window table is all 0 when no operation is under way", "§5.1")

PAGES: Final = (WRITE_XOR_EXECUTE, KERNEL_PRIVATE, NULL_GUARD)
ALL: Final = (*PAGES, GUARD, LINEAR, DEVICE, ALIAS, TABLE_ONCE, WINDOW)


def check_pages(pages: Iterable[Mapping]) -> list[Violation]:
    """Judge every page by itself; `subject` is its virtual address, `found` its raw entry."""
    violations = []
    for page in pages:
        broken = []
        if page.rights.writable and page.rights.executable:
            broken.append((WRITE_XOR_EXECUTE, "effective rights over all levels are w and x"))
        if page.rights.user and page.virtual >= LOWER_HALF_END:
            broken.append((KERNEL_PRIVATE, "every level of its walk has the user bit"))
        if page.virtual < NULL_GUARD_BYTES:
            broken.append((NULL_GUARD, f"it maps physical {page.physical:#x}"))
        violations += [
            Violation(invariant, page.virtual, "entry", page.entry, None, because)
            for invariant, because in broken
        ]
    return violations


def check_kernel_space(
    pages: Sequence[Mapping], image: ImageSymbols, placement_end: PhysicalAddress
) -> list[Violation]:
    """Judge the upper half of the kernel directory against the table of §2; `pages` ascend."""
    area_end = linear(placement_end)
    guards = (
        (KERNEL_BASE, IMAGE_START),
        (image.bss_end, STACK_START),
        (area_end, align_up(area_end, LARGE_PAGE_BYTES)),
        (DEVICE_END, 1 << 64),
    )
    violations = []
    uses = Counter(page.physical for page in pages if _is_memory(page.virtual))
    for page in pages:
        end = page.virtual + page.page_bytes
        found = page.entry & (CACHE_DISABLE | WRITE_THROUGH)
        device = page.virtual >= DEVICE_BASE
        in_image = IMAGE_START <= page.virtual < area_end
        for broken, invariant, because in (
            (
                any(start < end and page.virtual < stop for start, stop in guards),
                GUARD,
                f"it maps physical {page.physical:#x}",
            ),
            (in_image and page.physical + KERNEL_BASE != page.virtual, LINEAR, f"it maps {page.physical:#x}"),
            (
                found != (CACHE_DISABLE | WRITE_THROUGH if device else 0),
                DEVICE,
                f"devices begin at {DEVICE_BASE:#x}",
            ),
            (
                _is_memory(page.virtual) and uses[page.physical] > 1,
                ALIAS,
                f"{page.physical:#x} is there twice",
            ),
        ):
            if broken:
                violations.append(Violation(invariant, page.virtual, "entry", page.entry, None, because))
    return violations


def check_tables(tables: Iterable[PhysicalAddress]) -> list[Violation]:
    """Judge a directory's tables, one for each entry that refers to one."""
    return [
        Violation(TABLE_ONCE, table, "table", table, None, f"{count} entries refer to it")
        for table, count in Counter(tables).items()
        if count > 1
    ]


def check_windows(entries: Iterable[int], table: int) -> list[Violation]:
    """Judge the window table at rest, by its 512 entries."""
    return [
        Violation(WINDOW, table, f"entry {slot}", entry, 0, "no operation is under way")
        for slot, entry in enumerate(entries)
        if entry
    ]


def _is_memory(virtual: int) -> bool:
    """Whether a kernel address is neither a window's nor a device's."""
    return IMAGE_END <= virtual < WINDOW_BASE or WINDOW_END <= virtual < DEVICE_BASE
