"""Invariants of a list of free virtual regions (docs/spec.md §6)."""

from collections.abc import Iterator, Sequence
from enum import Enum
from typing import Final

from model.invariants.base import Invariant, Violation
from model.records import Region, RegionManager
from model.types import PAGE_BYTES, is_aligned

ALIGNED: Final = Invariant(
    "regions.aligned",
    "start and size are multiples of 4096, size > 0",
    "§6.1: regions are whole pages, never empty",
)
INSIDE: Final = Invariant("regions.inside", "start_ <= start and start + size <= end_", "§6.6–6.7: one space")
ORDER: Final = Invariant(
    "regions.order",
    "a region ends before the next begins",
    "§6.1: ascending, never touching, never overlapping",
)
FIRST: Final = Invariant("regions.first", "first_ is a node without one before it", "§6.1: the list's head")
BACK: Final = Invariant("regions.prev", "prev is the node before", "§6.1: doubly linked")
LAST: Final = Invariant("regions.last", "last_ is the last node", "§6.1")
END: Final = Invariant("regions.end", "the list ends with null, each node once", "§6.1")
COUNT: Final = Invariant("regions.count", "count_ = nodes in the list", "§6.1")
SPARE: Final = Invariant(
    "regions.spare", "an unused node is zero but for next", "§6.2: nothing of a region stays in it"
)
SPARE_COUNT: Final = Invariant(
    "regions.spare_count", "spare_count_ = nodes from spare_ on, each once", "§6.2: counted with each change"
)
APART: Final = Invariant(
    "regions.apart", "no node is both in the list and in the pool", "§6.1–6.2: a node is used or it is not"
)


class Empty(Enum):
    """What a region of 0 bytes is."""

    WRONG = "wrong"
    DELETED = "a deleted region"


LIST: Final = (ALIGNED, INSIDE, ORDER, FIRST, BACK, LAST, END, COUNT)
ALL: Final = (*LIST, SPARE, SPARE_COUNT, APART)


def check_regions(
    manager: RegionManager, regions: Sequence[Region], *, stop: int = 0, empty: Empty = Empty.WRONG
) -> list[Violation]:
    """Judge the free list; `regions` are its nodes in list order, each once.

    `empty` says what a region of 0 bytes is; one that stands for a deleted one is linked, and nothing else.
    `stop` is the pointer at which following them ended, 0 for a list that ends with null; what needs the
    whole list is then not judged.
    """
    violations: list[Violation] = []
    ahead: Region | None = None
    for index, region in enumerate(regions):
        if region.size_bytes or empty is Empty.WRONG:
            violations += _check_region(manager, region, ahead)
            ahead = region
        expected = regions[index - 1].node if index else 0
        if region.prev != expected:
            violations.append(
                Violation(BACK, region.node, "prev", region.prev, expected, "it comes before in the list")
            )
    if regions and regions[0].prev:
        because = f"that node says that {regions[0].prev:#x} comes before it"
        violations.append(Violation(FIRST, manager.address, "first", manager.first, None, because))
    elif any(violation.subject == manager.first for violation in violations) and not _is_known(
        manager.first, manager, regions
    ):
        because = "no region lies there, and nothing else leads to it"
        violations.append(Violation(FIRST, manager.address, "first", manager.first, None, because))
    last = regions[-1].node if regions else 0
    if stop:
        again = stop in {region.node for region in regions}
        because = "it is in the list already: the list is a cycle" if again else "no node can be read there"
        return [*violations, Violation(END, last or manager.address, "next", stop, None, because)]
    if "last" not in manager.unkept and manager.last != last:
        violations.append(Violation(LAST, manager.address, "last", manager.last, last, "the list ends there"))
    if "count" not in manager.unkept and manager.count != len(regions):
        because = f"{len(regions)} nodes are listed"
        violations.append(Violation(COUNT, manager.address, "count", manager.count, len(regions), because))
    return violations


def _check_region(manager: RegionManager, region: Region, before: Region | None) -> Iterator[Violation]:
    """One region by itself, and behind the one before it."""
    end = region.start + region.size_bytes
    whole = is_aligned(region.start, PAGE_BYTES) and is_aligned(region.size_bytes, PAGE_BYTES)
    if not whole or not region.size_bytes:
        yield Violation(ALIGNED, region.node, "size", region.size_bytes, None, "")
    bounded = not manager.unkept & {"start", "end"}
    if bounded and not manager.start <= region.start <= end <= manager.end:
        because = f"the space is {manager.start:#x}..{manager.end:#x}"
        yield Violation(INSIDE, region.node, "start", region.start, None, because)
    if before is not None and before.start + before.size_bytes >= region.start:
        because = f"the region before ends at {before.start + before.size_bytes:#x}"
        yield Violation(ORDER, region.node, "start", region.start, None, because)


def unkept(manager: RegionManager) -> list[tuple[Invariant, str]]:
    """The rules over fields that the kernel does not keep, each with such a field."""
    needs = ((INSIDE, "start"), (INSIDE, "end"), (LAST, "last"), (COUNT, "count"))
    pool = ((SPARE, "spare"), (SPARE_COUNT, "spare_count"), (APART, "spare"))
    found = {rule: field for rule, field in (*needs, *pool) if field in manager.unkept}
    return list(found.items())


def _is_known(node: int, manager: RegionManager, regions: Sequence[Region]) -> bool:
    """Whether another link than first_ leads to a node: last_, or the one of its neighbour."""
    return manager.last == node or (len(regions) > 1 and regions[1].prev == node)


def check_spares(
    manager: RegionManager, spares: Sequence[Region], regions: Sequence[Region] = (), *, stop: int = 0
) -> list[Violation]:
    """Judge the pool: `spares` are its nodes in order, each once, `stop` where following them ended."""
    violations: list[Violation] = []
    if manager.unkept & {"spare", "spare_count"}:
        return violations
    listed = {region.node for region in regions}
    for spare in spares:
        for name, found in (("start", spare.start), ("size", spare.size_bytes), ("prev", spare.prev)):
            if found:
                because = "the node is not in use"
                violations.append(Violation(SPARE, spare.node, name, found, 0, because))
        if spare.node in listed:
            because = "the free list has it, too"
            violations.append(Violation(APART, spare.node, "node", spare.node, None, because))
    if stop or manager.spare_count != len(spares):
        because = f"following next ends at {stop:#x}" if stop else f"{len(spares)} nodes are there"
        expected = None if stop else len(spares)
        found = manager.spare_count
        violations.append(Violation(SPARE_COUNT, manager.address, "spare_count", found, expected, because))
    return violations
