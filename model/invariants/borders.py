"""Invariants of the border between the kernel's half and the lower one (docs/spec.md §2, §5)."""

from collections.abc import Iterable
from typing import Final

from model.invariants.base import Invariant, Violation
from model.spaces import Space

USER_BIT: Final = Invariant(
    "space.user_bit", "no entry of the kernel half has the user bit", "docs/spec.md §2, §5.2"
)
UPPER_HALF: Final = Invariant(
    "space.upper_half", "the upper half of every process is the kernel's", "docs/spec.md §5.5"
)
LOWER_HALF: Final = Invariant(
    "space.lower_half", "the lower half of the kernel directory is empty", "docs/spec.md §2"
)

ALL: Final = (USER_BIT, UPPER_HALF, LOWER_HALF)


def check_borders(space: Space, kernel: Space, differing: Iterable[int]) -> list[Violation]:
    """Judge one space; `differing` are the slots of its upper half that are not the kernel's."""
    low = [run for run in space.runs if not run.virtual >> 63] if space is kernel else []
    return [
        *(Violation(USER_BIT, each.virtual, "entry", each.entry, None, "") for each in space.user_marked),
        *(Violation(UPPER_HALF, space.root, "slot", slot, None, space.name) for slot in differing),
        *(Violation(LOWER_HALF, run.virtual, "entry", run.entry, None, "") for run in low),
    ]
