"""An invariant, its violation, and a verdict over a whole structure."""

from dataclasses import dataclass, field


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


@dataclass(frozen=True, slots=True)
class Quirk:
    """A field that is wrong by exactly what the kernel is known to do wrong: no damage.

    `right` is the value that the invariant asks for, `because` says how the difference comes about.
    """

    invariant: Invariant
    subject: int
    field: str
    found: int
    right: int
    because: str


@dataclass(slots=True)
class Verdict:
    """All violations, how many invariants were evaluated, and which could not be and why.

    `unkept` are invariants over fields that the record does not have, with the name of such a field;
    `quirks` what the kernel is known to do wrong, and did.
    """

    violations: list[Violation] = field(default_factory=list)
    evaluated: int = 0
    unchecked: list[tuple[Invariant, str]] = field(default_factory=list)
    unkept: list[tuple[Invariant, str]] = field(default_factory=list)
    quirks: list[Quirk] = field(default_factory=list)
