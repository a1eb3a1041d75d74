"""A figure that was promised, and how it is printed beside the one that was found."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Demand:
    """One figure that was promised, and as it was found; `least`: it must not be lower, else not higher."""

    what: str
    wanted: float
    found: float
    unit: str
    least: bool = False
    remark: str = ""

    @property
    def met(self) -> bool:
        """Whether this run kept it."""
        return self.found >= self.wanted if self.least else self.found <= self.wanted


def rows(demands: Iterable[Demand]) -> list[str]:
    """A line each: what was promised, what was found, whether that is kept."""
    lines = []
    for one in demands:
        sign = "at least" if one.least else "at most"
        wanted, verdict = f"{sign} {one.wanted:g} {one.unit}", "yes" if one.met else "NO"
        line = f"    {one.what:<46} {wanted:>19} {one.found:>9.3g} {one.unit:<5}  {verdict:<3}  {one.remark}"
        lines.append(line.rstrip())
    return lines
