"""Invariants of what the boot loader's information becomes (docs/spec.md §4.1 to §4.3): lists of ranges."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Final

from model.invariants.base import Invariant, Violation
from model.memory import PhysicalRange
from model.types import PAGE_BYTES, is_aligned

ONE_MIB: Final = 1 << 20
MOST_RANGES: Final = 32

WHOLE: Final = Invariant(
    "memory_map.whole", "every range has whole pages, at least one", "§4.1–4.2: rounded to pages"
)
ORDER: Final = Invariant(
    "memory_map.order", "ranges of one list ascend and never touch", "§4.1–4.2: sorted, merged"
)
IN_RAM: Final = Invariant(
    "memory_map.in_ram", "a managed range lies inside one RAM region", "§4.3: managed = RAM − what is taken"
)
NOT_RESERVED: Final = Invariant(
    "memory_map.not_reserved", "no managed range overlaps a reserved one", "§4.3: modules stay what they are"
)
NOT_LOW: Final = Invariant(
    "memory_map.not_low",
    "no managed range begins below 1 MiB, or below the placement end",
    "§4.3, §4.8: image and placement area are never free, address 0 neither",
)
FEW: Final = Invariant("memory_map.few", "at most 32 reserved ranges, at most 32 managed ones", "§4.2, §4.5")

ALL: Final = (WHOLE, ORDER, IN_RAM, NOT_RESERVED, NOT_LOW, FEW)


def check_memory_map(
    ram: Sequence[PhysicalRange],
    reserved: Sequence[PhysicalRange],
    managed: Sequence[PhysicalRange],
    placement_end: int,
) -> list[Violation]:
    """Judge RAM regions, reserved ranges and managed ranges, each in ascending order."""
    violations = []
    for name, ranges in (("ram", ram), ("reserved", reserved), ("managed", managed)):
        for piece in ranges:
            whole = is_aligned(piece.start, PAGE_BYTES) and is_aligned(piece.end, PAGE_BYTES)
            if not whole or piece.start >= piece.end:
                violations.append(_violation(WHOLE, name, piece, f"it ends at {piece.end:#x}"))
        for before, piece in pairwise(ranges):
            if before.end >= piece.start:
                violations.append(_violation(ORDER, name, piece, f"the one before ends at {before.end:#x}"))
    for name, ranges in (("reserved", reserved), ("managed", managed)):
        if len(ranges) > MOST_RANGES:
            violations.append(_violation(FEW, name, ranges[MOST_RANGES], f"there are {len(ranges)}"))
    for piece in managed:
        if not any(region.start <= piece.start and piece.end <= region.end for region in ram):
            violations.append(_violation(IN_RAM, "managed", piece, "no RAM region holds it"))
        if any(hole.start < piece.end and piece.start < hole.end for hole in reserved):
            violations.append(_violation(NOT_RESERVED, "managed", piece, "something was left there"))
        if piece.start < max(ONE_MIB, placement_end):
            because = f"the placement area ends at {placement_end:#x}"
            violations.append(_violation(NOT_LOW, "managed", piece, because))
    return violations


def _violation(invariant: Invariant, name: str, piece: PhysicalRange, because: str) -> Violation:
    return Violation(invariant, piece.start, name, piece.start, None, because)
