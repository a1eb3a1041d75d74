"""An invariant and its violation."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Invariant:
    """A rule: `formula` in words, `reason` says why it must hold; `id` is stable (`heap.size`)."""

    id: str
    formula: str
    reason: str


@dataclass(frozen=True, slots=True)
class Violation:
    """One place where an invariant does not hold.

    `subject` is the address of the structure and `field` the field of it that is wrong. `expected` is the
    value that the rest of memory implies, None when nothing does; `because` says how it is implied.
    """

    invariant: Invariant
    subject: int
    field: str
    found: int
    expected: int | None
    because: str
