"""What a command has to say, before anyone decides how it looks."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, overload


class ExitCode(IntEnum):
    """The three outcomes: "could not check" is never "clean"."""

    CLEAN = 0
    FINDINGS = 1
    NOT_CHECKED = 2


@dataclass(frozen=True, slots=True)
class Watch:
    """Stop at the next write to `size_bytes` bytes at a virtual address, in the debugger's own words."""

    address: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Write:
    """Bytes to write at a virtual address: shown as the debugger's command, never run."""

    address: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Finding:
    """One defect that was found, with everything that speaks for it.

    `code` is stable (HEAP003); `subject` is the virtual or physical address of the damaged
    structure; `lines` explain in short, `details` on request, most important first; `data` holds the
    same facts for machines. `repair` undoes the damage; `repair_note` says what is known of that.
    """

    code: str
    title: str
    subject: int
    lines: tuple[str, ...]
    data: Mapping[str, object]
    next_commands: tuple[str | Watch, ...] = ()
    details: tuple[str, ...] = ()
    repair: tuple[Write, ...] = ()
    repair_note: str = ""


def alike(cells: Sequence[object]) -> bool:
    """Whether there are cells and all are the same."""
    return bool(cells) and cells[0] == cells[-1] and cells.count(cells[0]) == len(cells)


class Derived(Sequence[object]):
    """A column made of others, element by element, when it is looked at: nothing is kept."""

    def __init__(self, make: Callable[..., object], *columns: Sequence[Any]) -> None:
        self._make, self._columns = make, columns

    def __len__(self) -> int:
        return len(self._columns[0])

    def __iter__(self) -> Iterator[object]:
        return map(self._make, *self._columns)

    @overload
    def __getitem__(self, index: int) -> object: ...

    @overload
    def __getitem__(self, index: slice) -> list[object]: ...

    def __getitem__(self, index: int | slice) -> object:
        if not isinstance(index, slice):
            return self._make(*(column[index] for column in self._columns))
        parts = [column[index] for column in self._columns]
        if all(map(alike, parts)):
            return [self._make(*(part[0] for part in parts))] * len(parts[0])
        return list(map(self._make, *parts))


class Columns(Sequence[tuple[object, ...]]):
    """Rows kept as one sequence for each column: a record a row costs more than what is in it."""

    def __init__(self, *cells: Sequence[object]) -> None:
        self.cells = cells

    def __len__(self) -> int:
        return len(self.cells[0])

    def __iter__(self) -> Iterator[tuple[object, ...]]:
        return zip(*self.cells, strict=True)

    @overload
    def __getitem__(self, index: int) -> tuple[object, ...]: ...

    @overload
    def __getitem__(self, index: slice) -> "Columns": ...

    def __getitem__(self, index: int | slice) -> "tuple[object, ...] | Columns":
        if isinstance(index, slice):
            return Columns(*(cells[index] for cells in self.cells))
        return tuple(cells[index] for cells in self.cells)


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under column heads. Integers in `hexadecimal` columns are addresses."""

    title: str
    columns: tuple[str, ...]
    rows: Sequence[tuple[object, ...]]
    hexadecimal: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Map:
    """Stretches of addresses: one row each, `spans` (start, end, kind) inside it, `marks` (address, label).

    `to_scale` off: gaps and large spans are shortened, as an address space needs it.
    """

    title: str
    note: str
    rows: Sequence[tuple[str, int, int, Sequence[tuple[int, int, str]]]]
    marks: Sequence[tuple[int, str]] = ()
    to_scale: bool = True


@dataclass(frozen=True, slots=True)
class Bars:
    """A number for each label, the largest first; `unit` is what is counted, the last string a remark."""

    title: str
    note: str
    unit: str
    rows: Sequence[tuple[str, int, str]]


@dataclass(frozen=True, slots=True)
class Curve:
    """One quantity over another: points (x, y), x ascending."""

    title: str
    note: str
    x_label: str
    y_label: str
    points: Sequence[tuple[int, int]]


Chart = Map | Bars | Curve


@dataclass(frozen=True, slots=True)
class Absent:
    """Something that could not be checked, and why."""

    what: str
    why: str


@dataclass(slots=True)
class Report:
    """The outcome of one command.

    `summary` is the first line a user reads; `facts` are (name, value) pairs below it; `checked`
    counts the invariants that were evaluated.
    """

    command: str
    summary: str
    facts: list[tuple[str, object]] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    not_checked: list[Absent] = field(default_factory=list)
    checked: int = 0
    charts: list[Chart] = field(default_factory=list)
    """What is drawn where that is possible; everything that judges is in the tables and findings too."""

    @property
    def exit_code(self) -> ExitCode:
        """Findings outweigh what could not be checked; that outweighs a clean result."""
        if self.findings:
            return ExitCode.FINDINGS
        return ExitCode.NOT_CHECKED if self.not_checked else ExitCode.CLEAN
