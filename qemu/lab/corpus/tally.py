"""Counts of a corpus run, and the tables that are made of them."""

from collections import Counter
from dataclasses import dataclass, field

from lab.corpus.damage import Case
from lab.corpus.judge import Judgement, Outcome

_DETECTED = (Outcome.FOUND, Outcome.ELSEWHERE, Outcome.REFUSED)


@dataclass
class Tally:
    """What came of every case: by noun and field, by kind of damage, and the cases that went wrong."""

    by_noun: dict[str, Counter[Outcome]] = field(default_factory=dict)
    by_kind: dict[str, Counter[Outcome]] = field(default_factory=dict)
    silent: Counter[str] = field(default_factory=Counter)
    attributed: Counter[bool] = field(default_factory=Counter)
    wrong: list[tuple[Case, Judgement]] = field(default_factory=list)

    def add(self, case: Case, judgement: Judgement) -> None:
        """Count one case; one that can change nothing observable is counted apart, unless it was seen."""
        outcome = judgement.outcome
        if case.silent and outcome in (Outcome.MISSED, Outcome.REFUSED):
            self.silent[case.silent] += 1
            return
        self.by_noun.setdefault(case.noun, Counter())[outcome] += 1
        self.by_kind.setdefault(case.kind, Counter())[outcome] += 1
        if judgement.attributed is not None:
            self.attributed[judgement.attributed] += 1
        if outcome is not Outcome.FOUND or judgement.attributed is False:
            self.wrong.append((case, judgement))

    def join(self, other: "Tally") -> None:
        """Add what another one counted."""
        for mine, its in ((self.by_noun, other.by_noun), (self.by_kind, other.by_kind)):
            for name, counts in its.items():
                mine.setdefault(name, Counter()).update(counts)
        self.silent.update(other.silent)
        self.attributed.update(other.attributed)
        self.wrong += other.wrong

    @property
    def total(self) -> int:
        """Cases that had something to be observed."""
        return sum(counts.total() for counts in self.by_noun.values())

    def count(self, *outcomes: Outcome) -> int:
        """How many cases ended so."""
        return sum(counts[outcome] for counts in self.by_noun.values() for outcome in outcomes)

    @property
    def detected(self) -> int:
        """Cases in which the user was told that something is wrong, or could not be checked and why."""
        return self.count(*_DETECTED)

    @property
    def located(self) -> int:
        """Cases in which a finding named the structure that was damaged."""
        return self.count(Outcome.FOUND)

    @property
    def sound(self) -> bool:
        """Whether nothing crashed, hung or was missed."""
        return self.detected == self.total

    def lines(self) -> list[str]:
        """The tables in Markdown."""
        rows = ["| what was damaged | cases | detected | place named | could not check | missed |"]
        rows.append("| --- | ---: | ---: | ---: | ---: | ---: |")
        for title, table in (("", self.by_noun), ("by kind: ", self.by_kind)):
            rows += [_row(title + name, counts) for name, counts in sorted(table.items())]
        every: Counter[Outcome] = sum(self.by_noun.values(), Counter())
        rows.append(_row("all", every))
        return rows

    def summary(self) -> list[str]:
        """The figures in sentences."""
        named, blamed = self.located, self.attributed.total()
        lines = [
            f"{self.total:,} damages, {self.detected:,} detected ({_percent(self.detected, self.total)})",
            f"place named in {named:,} of {self.detected:,} ({_percent(named, self.detected)})",
            f"culprit first in {self.attributed[True]:,} of {blamed:,} overflows "
            f"({_percent(self.attributed[True], blamed)})",
            f"{self.count(Outcome.CRASHED)} crashes, {self.count(Outcome.HUNG)} hangs",
        ]
        return lines + [
            f"{count:,} more change nothing observable: {why}" for why, count in self.silent.items()
        ]

    def wrong_ones(self) -> list[str]:
        """Every case that was not found where it is, with all that it takes to do it again."""
        return [
            f"{judgement.outcome.value}{_blamed(judgement)}: {case}: {judgement.detail}"
            for case, judgement in sorted(self.wrong, key=lambda pair: pair[1].outcome.value)
        ]


def _blamed(judgement: Judgement) -> str:
    return ", another culprit first" if judgement.attributed is False else ""


def _row(name: str, counts: Counter[Outcome]) -> str:
    total = counts.total()
    detected = sum(counts[outcome] for outcome in _DETECTED)
    cells = (total, detected, counts[Outcome.FOUND], counts[Outcome.REFUSED], total - detected)
    return f"| {name} | " + " | ".join(f"{cell:,}" for cell in cells) + " |"


def _percent(part: int, whole: int) -> str:
    """Never rounded up to a hundred."""
    if whole == 0:
        return "none"
    return "100 %" if part == whole else f"{int(part / whole * 10000) / 100:.2f} %"
