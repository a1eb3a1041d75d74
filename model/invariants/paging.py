"""Invariants of the kernel's address space (docs/spec.md §2): what any page of it must obey."""

from collections.abc import Iterable
from typing import Final

from model.invariants.base import Invariant, Violation
from model.paging import Mapping

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

ALL: Final = (WRITE_XOR_EXECUTE, KERNEL_PRIVATE, NULL_GUARD)


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
