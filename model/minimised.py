"""The shortest part of a trace after which kernel and model still disagree (delta debugging).

A part is a subsequence of the outermost operations that ends with the divergent one. It is run on a fresh
machine; an argument that was an address inside something an operation gave is moved to where that
operation's result lies in this run, so a part without that operation cannot run. "Still disagree" means,
by the kind of divergence:

- two models (a quirk, as it is and as fixed): their results differ somewhere in the part;
- a recorded result: it is not what the model gives at the end. A recorded address inside something
  that an operation gave is moved like an argument, so that operation stays in every part.
"""

from bisect import bisect_right, insort
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from model.fast.machine import FastMachine
from model.replay import Divergence
from model.trace import Operation as O
from model.trace import TraceRecord
from model.types import PAGE_BYTES

_ADDRESSES: Final[dict[int, tuple[bool, bool, bool]]] = {
    O.PHYSICAL_FREE: (True, False, False),
    O.VIRT_ALLOC_AT: (True, False, False),
    O.VIRT_FREE: (True, False, False),
    O.PAGING_MAP: (False, True, True),
    O.PAGING_UNMAP: (False, True, False),
    O.HEAP_FREE: (True, False, False),
    O.HEAP_REALLOC: (True, False, False),
}
_NO_ADDRESSES: Final = (False, False, False)
_BUDGET: Final = 4_000_000  # operations run in all: about a minute


@dataclass(frozen=True, slots=True)
class _Origin:
    """An address as an offset into what operation number `step` gave."""

    step: int
    offset: int


_Value = int | _Origin


@dataclass(frozen=True, slots=True)
class _Step:
    """One operation of the trace, its addresses by origin; `needs` are the steps it cannot run without."""

    record: TraceRecord
    arguments: tuple[_Value, _Value, _Value]
    needs: frozenset[int]


@dataclass(frozen=True, slots=True)
class Done:
    """One operation of the shortest part, its arguments and result in the run of that part."""

    record: TraceRecord
    arguments: tuple[int, int, int]
    result: int


@dataclass(frozen=True, slots=True)
class Minimised:
    """The shortest part found, of how many operations; `exhausted`: a shorter one may exist."""

    steps: tuple[Done, ...]
    of: int
    runs: int
    exhausted: bool


MakeMachine = Callable[[], FastMachine]


def minimise_recorded(
    performed: Sequence[TraceRecord], divergence: Divergence, make: MakeMachine
) -> Minimised:
    """The shortest part after which the model does not do what the kernel's last operation did.

    `performed` are the operations that were run up to the divergent one, included.
    """
    steps, owner = _steps(performed)
    recorded: _Value = 0
    if divergence.record is not None:
        recorded = owner.value(divergence.record.result)
        last = steps[-1]
        steps[-1] = _Step(last.record, last.arguments, last.needs | _needs([recorded]))

    def disagrees(part: Sequence[int]) -> bool:
        machine = make()
        done = _run(steps, part, machine)
        given = {step: item.result for step, item in zip(part, done, strict=True)}
        entries = machine.nested()
        record, index = divergence.record, divergence.index
        if index < 0:
            return done[-1].result != _resolve(recorded, given)
        if record is None:
            return len(entries) > index
        if divergence.expected is None or len(entries) <= index:
            return divergence.expected is None and len(entries) <= index
        entry = entries[index]
        return (entry[0], entry[4]) != (record.operation, _resolve(recorded, given))

    return _shortest(steps, make, disagrees)


def minimise_models(performed: Sequence[TraceRecord], make: MakeMachine, other: MakeMachine) -> Minimised:
    """The shortest part on which two models disagree; its results are those of `make`."""
    steps, _ = _steps(performed)

    def disagrees(part: Sequence[int]) -> bool:
        one, two = make(), other()
        ours, theirs = _run(steps, part, one), _run(steps, part, two)
        return [done.result for done in ours] != [done.result for done in theirs]

    return _shortest(steps, make, disagrees)


class _Owner:
    """Which step gave the memory that an address lies in: the last one whose result covers it."""

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._given: dict[int, tuple[int, int]] = {}  # start → end, step

    def give(self, step: int, start: int, size_bytes: int) -> None:
        if start not in self._given:
            insort(self._starts, start)
        self._given[start] = start + max(1, size_bytes), step

    def value(self, address: int) -> _Value:
        """An address by its origin; as it is when nobody gave it."""
        at = bisect_right(self._starts, address) - 1
        if at >= 0:
            start = self._starts[at]
            end, step = self._given[start]
            if address < end:
                return _Origin(step, address - start)
        return address


def _steps(performed: Sequence[TraceRecord]) -> tuple[list[_Step], _Owner]:
    steps: list[_Step] = []
    owner = _Owner()
    for index, record in enumerate(performed):
        words = (record.first, record.second, record.third)
        kinds = _ADDRESSES.get(record.operation, _NO_ADDRESSES)
        arguments = tuple(
            owner.value(word) if is_address else word for word, is_address in zip(words, kinds, strict=True)
        )
        steps.append(_Step(record, (arguments[0], arguments[1], arguments[2]), _needs(arguments)))
        if record.result and index < len(performed) - 1:
            owner.give(index, record.result, _extent(record))
    return steps, owner


def _extent(record: TraceRecord) -> int:
    """How much an operation gave."""
    match record.operation:
        case O.HEAP_MALLOC | O.VIRT_ALLOC:
            return record.first
        case O.HEAP_CALLOC:
            return record.first * record.second
        case O.HEAP_REALLOC | O.HEAP_ALIGNED_ALLOC | O.VIRT_ALLOC_AT:
            return record.second
        case O.PHYSICAL_ALLOC:
            return PAGE_BYTES
    return 0


def _needs(values: Sequence[_Value]) -> frozenset[int]:
    return frozenset(value.step for value in values if isinstance(value, _Origin))


def _resolve(value: _Value, given: dict[int, int]) -> int:
    return given[value.step] + value.offset if isinstance(value, _Origin) else value


def _run(steps: Sequence[_Step], part: Sequence[int], machine: FastMachine) -> list[Done]:
    """Run a part; the diary then holds what its last step did on its way."""
    given: dict[int, int] = {}
    done = []
    for index in part:
        step = steps[index]
        machine.nested()
        first, second, third = (_resolve(value, given) for value in step.arguments)
        given[index] = machine.perform(step.record.operation, first, second, third)
        done.append(Done(step.record, (first, second, third), given[index]))
    return done


def _shortest(
    steps: Sequence[_Step], make: MakeMachine, disagrees: Callable[[Sequence[int]], bool]
) -> Minimised:
    search = _Search(steps, disagrees)
    part, exhausted = search.shortest()
    return Minimised(tuple(_run(steps, part, make())), len(steps), search.runs, exhausted)


class _Search:
    """Delta debugging: parts without one piece after the other, the pieces ever smaller."""

    def __init__(self, steps: Sequence[_Step], disagrees: Callable[[Sequence[int]], bool]) -> None:
        self.steps = steps
        self.disagrees = disagrees
        self.runs = self.cost = 0

    def shortest(self) -> tuple[list[int], bool]:
        """The shortest part, and whether the budget ended the search. The last step always stays."""
        last = len(self.steps) - 1
        part = self.needed(last)
        if not self.fails(part):
            part = list(range(last + 1))
        pieces = 2
        while len(part) > 1:
            size = max(1, len(part) // pieces)
            smaller = self.smaller(part, size, last)
            if self.cost > _BUDGET:
                return smaller or part, True
            if smaller is not None:
                part, pieces = smaller, max(2, pieces - 1)
            elif size == 1:
                break
            else:
                pieces = min(len(part), 2 * pieces)
        return part, False

    def smaller(self, part: list[int], size: int, last: int) -> list[int] | None:
        """The part without one piece of `size` steps, when that still disagrees."""
        for start in range(0, len(part), size):
            rest = self.closed([*part[:start], *part[start + size :]])
            if rest and rest[-1] == last and self.fails(rest):
                return rest
            if self.cost > _BUDGET:
                return None
        return None

    def fails(self, part: Sequence[int]) -> bool:
        """Whether a part still disagrees."""
        self.runs += 1
        self.cost += len(part)
        return self.disagrees(part)

    def closed(self, part: Sequence[int]) -> list[int]:
        """A part without the steps that lack something they need."""
        kept: set[int] = set()
        for step in part:
            if self.steps[step].needs <= kept:
                kept.add(step)
        return sorted(kept)

    def needed(self, last: int) -> list[int]:
        """A step with all that it needs."""
        kept, pending = {last}, [last]
        while pending:
            for step in self.steps[pending.pop()].needs - kept:
                kept.add(step)
                pending.append(step)
        return sorted(kept)
