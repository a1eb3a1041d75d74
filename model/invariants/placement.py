"""Invariants of the placement area (docs/spec.md §3, §9): where it ends, and what lies in it."""

from typing import Final

from model.address_space import IMAGE_END, linear_physical
from model.invariants.base import Invariant, Violation
from model.memory import PhysicalRange
from model.records import Placement
from model.types import is_aligned

START: Final = Invariant("placement.start", "__placement >= _end", "§3.1: it starts there and only grows")
LIMIT: Final = Invariant(
    "placement.limit",
    "__placement <= the smaller of WINDOW_BASE and the end of the RAM that holds 1 MiB",
    "§3.3: an allocation beyond it is refused",
)
ALIGNED: Final = Invariant(
    "placement.aligned", "every allocation starts at a multiple of 16", "§3.2: so does everything of a page"
)
INSIDE: Final = Invariant(
    "placement.inside", "every allocation of the boot lies in [_end, __placement)", "§9: steps 3 to 7"
)
APART: Final = Invariant(
    "placement.apart", "no two allocations overlap, in the order of the boot", "§3.2: __placement only grows"
)
RESERVED: Final = Invariant(
    "placement.reserved", "no allocation overlaps a reserved range", "§3.2: the boot loader left things there"
)

ALL: Final = (START, LIMIT, ALIGNED, INSIDE, APART, RESERVED)


def check_placement(placement: Placement, reserved: tuple[PhysicalRange, ...] = ()) -> list[Violation]:
    """Judge the placement area; `placement.objects` are the allocations of the boot in their order."""
    violations = []
    start, end = linear_physical(IMAGE_END), placement.next_free
    for broken, invariant, because in (
        (end < start, START, f"_end is {start:#x}"),
        (end > placement.limit, LIMIT, f"the limit is {placement.limit:#x}"),
    ):
        if broken:
            violations.append(Violation(invariant, placement.address, "__placement", end, None, because))
    before = start
    for placed in placement.objects:
        for broken, invariant, because in (
            (not is_aligned(placed.start, 16), ALIGNED, placed.name),
            (
                not start <= placed.start <= placed.end <= end,
                INSIDE,
                f"{placed.name} ends at {placed.end:#x}",
            ),
            (placed.start < before, APART, f"what lies before {placed.name} ends at {before:#x}"),
            (
                any(hole.start < placed.end and placed.start < hole.end for hole in reserved),
                RESERVED,
                f"{placed.name} would overwrite what the boot loader left",
            ),
        ):
            if broken:
                violations.append(Violation(invariant, placed.start, "start", placed.start, None, because))
        before = placed.end
    return violations
