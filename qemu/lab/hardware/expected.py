"""What a case must give, what was counted on the way, and how results are held against it."""

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import numpy as np


class Expected(NamedTuple):
    """What the harness must note; `may`: flags left open by the manual, masks: what of a field counts."""

    vector: int
    where: int
    error: int
    cr2: int
    cr2_mask: int
    must: int
    may: int
    value: int
    value_mask: int
    after0: int
    after1: int


@dataclass(slots=True)
class Tally:
    """What was counted on the way: deviations met, cases left out and why."""

    deviations: Counter[str] = field(default_factory=Counter)
    omitted: Counter[str] = field(default_factory=Counter)
    rules: Counter[str] = field(default_factory=Counter)
    deviating: int = 0
    """Cases that at least one deviation made what they are."""


def differences(found: "np.ndarray[Any, Any]", expected: list[Expected]) -> "np.ndarray[Any, Any]":
    """The indices of the cases that did not go as expected."""
    import numpy as np

    # Column by column: Python integers above 2**63 need their type named.
    columns = {
        name: np.array(column, dtype=np.uint64)
        for name, column in zip(Expected._fields, zip(*expected, strict=True), strict=True)
    }
    wrong = found["changed"] != 0
    for name in ("vector", "where", "error", "after0", "after1"):
        wrong |= found[name] != columns[name]
    wrong |= (found["cr2"] & columns["cr2_mask"]) != columns["cr2"]
    wrong |= (found["value"] & columns["value_mask"]) != columns["value"]
    wrong |= (found["flags"] & ~columns["may"]) != columns["must"]
    return np.flatnonzero(wrong)
