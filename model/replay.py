"""A trace run on the fast twin: where kernel and model part, operation by operation (docs/spec.md §12).

What is replayed are the outermost operations. What an operation does on its way lies before it in the trace
and deeper, and is compared with what the twin's own operation did. An operation that the twin cannot do (a
call on the heap of a process that has written over its own headers, one of an unknown process) is replaced by
those that it called; its own result is not judged.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from model.fast.diary import Entry
from model.fast.machine import PERFORMED, FastMachine
from model.fast.processes import USER_SIDE
from model.trace import Operation, TraceRecord

_VIRT: Final = (Operation.VIRT_ALLOC, Operation.VIRT_ALLOC_AT, Operation.VIRT_FREE)
_GIVES_POINTER: Final = (
    Operation.HEAP_MALLOC,
    Operation.HEAP_REALLOC,
    Operation.HEAP_CALLOC,
    Operation.HEAP_ALIGNED_ALLOC,
)
_NEVER: Final = 1 << 64
_FIRST_OF_HEAP: Final = int(Operation.HEAP_MALLOC)
_LAST_OF_HEAP: Final = int(Operation.HEAP_ALIGNED_ALLOC)


@dataclass(frozen=True, slots=True)
class Divergence:
    """The first record that the model contradicts.

    `expected` is what the model does there: the whole nested operation, or the same one with another
    result; None when the model does nothing more. `record` is None when the kernel did nothing more.
    `root` is the operation that both were called for; the same as `record` when it is that one's result.
    """

    root: TraceRecord
    record: TraceRecord | None
    expected: Entry | None
    index: int = -1
    """Which of the operations that `root` called; −1 for its own result."""

    @property
    def sequence(self) -> int:
        """Number of the record."""
        return self.record.sequence if self.record is not None else self.root.sequence


@dataclass(slots=True)
class Replayed:
    """What became of a trace; `divergence` is None when model and kernel agreed to its end."""

    performed: int = 0
    nested: int = 0
    unknown: dict[int, int] = field(default_factory=dict)
    """Operations that the twin cannot do, by number: what they called was replayed instead."""
    skipped: int = 0
    """Operations that the kernel refused and that were therefore not done on the model."""
    divergence: Divergence | None = None
    unfinished: int = 0
    """Nested records at the end whose operation was still under way."""


Watch = Callable[[FastMachine, TraceRecord], None]


def replay(
    machine: FastMachine,
    records: Iterable[TraceRecord],
    *,
    refused: TraceRecord | None = None,
    watch: Watch | None = None,
    processes: bool = True,
) -> Replayed:
    """Run a trace from its record 0 on a fresh machine, to its end or to the first divergence.

    From the record `refused` on, allocations that the kernel refused are not done on the model: a refusal
    changes nothing (§8.1), so both can go on together. `watch` sees the machine before each operation.
    Without `processes` their operations are replaced by those that they called.
    """
    return _Run(machine, refused, watch, processes=processes).run(records)


class _Run:
    """One pass over a trace."""

    def __init__(
        self,
        machine: FastMachine,
        refused: TraceRecord | None,
        watch: Watch | None,
        *,
        processes: bool,
    ) -> None:
        self.machine = machine
        self.refused_from = refused.sequence if refused is not None else _NEVER
        self.watch = watch
        self.processes = processes
        self.outcome = Replayed()

    def run(self, records: Iterable[TraceRecord]) -> Replayed:
        pending: dict[int, list[TraceRecord]] = {}
        machine, outcome = self.machine, self.outcome
        diary = machine.diary
        plain = self.watch is None and self.refused_from == _NEVER
        for record in records:
            _, operation, cpu, depth, first, second, third, result, _, _ = record
            if depth:
                pending.setdefault(cpu, []).append(record)
                continue
            children = pending.get(cpu)
            # Most operations: known, nothing nested, nothing to watch.
            if plain and not children and _FIRST_OF_HEAP <= operation <= _LAST_OF_HEAP:
                given = machine.perform(operation, first, second, third)
                outcome.performed += 1
                if given == result and not diary.entries:
                    continue
                self.compare(record, [], given)
                return outcome
            if self.group(record, pending.pop(cpu, [])):
                return outcome
        outcome.unfinished = sum(map(len, pending.values()))
        return outcome

    def group(self, root: TraceRecord, children: list[TraceRecord]) -> bool:
        """Replay one operation with what it called; whether model and kernel part there."""
        if not self.is_known(root, children):
            return self.by_parts(root, children)
        if self.watch is not None:
            self.watch(self.machine, root)
        if self.is_refused(root):
            self.outcome.skipped += 1
            return self.parts(children, root.depth + 1)
        if root.operation in USER_SIDE:
            given = self.machine.processes.perform(root)
        else:
            given = self.machine.perform(root.operation, root.first, root.second, root.third)
        self.outcome.performed += 1
        return self.compare(root, children, given)

    def by_parts(self, root: TraceRecord, children: list[TraceRecord]) -> bool:
        """Replay what an operation called, without judging its own result."""
        if self.parts(children, root.depth + 1):
            return True
        if root.operation in USER_SIDE:
            self.machine.processes.give_up(root)
        if root.operation != Operation.PROCESS_DESTROY:  # void: it gives nothing
            self.outcome.unknown[root.operation] = self.outcome.unknown.get(root.operation, 0) + 1
        return False

    def is_known(self, record: TraceRecord, children: Sequence[TraceRecord]) -> bool:
        """Whether the twin can do an operation: regions of an unknown manager it cannot."""
        if record.operation in _VIRT:
            manager = record.second if record.operation == Operation.VIRT_ALLOC else record.third
            return self.machine.manager(manager) is not None
        if record.operation not in USER_SIDE:
            return record.operation in PERFORMED
        processes = self.machine.processes
        if not self.processes or not processes.can(record) or any(map(self.is_refused, children)):
            return False
        return not processes.doubtful(record, maps=bool(children))

    def is_refused(self, record: TraceRecord) -> bool:
        return (
            record.sequence >= self.refused_from
            and record.result == 0
            and record.operation in _GIVES_POINTER
            and not (record.operation == Operation.HEAP_REALLOC and record.second == 0)
        )

    def parts(self, records: Sequence[TraceRecord], depth: int) -> bool:
        """Replay the operations that an unknown one called; deeper records belong to the next at `depth`."""
        children: list[TraceRecord] = []
        for record in records:
            if record.depth > depth:
                children.append(record)
                continue
            if self.group(record, children):
                return True
            children = []
        return False

    def compare(self, root: TraceRecord, children: list[TraceRecord], given: int) -> bool:
        """Find the first difference in the order in which the operations ended."""
        done = self.machine.nested()
        for index, record in enumerate(children):
            entry = done[index] if index < len(done) else None
            if entry is None or entry != _entry(record, root.depth):
                self.outcome.divergence = Divergence(root, record, entry, index)
                return True
        self.outcome.nested += len(children)
        if len(done) > len(children):
            self.outcome.divergence = Divergence(root, None, done[len(children)], len(children))
            return True
        if given != root.result and not (
            root.operation in USER_SIDE and self.machine.processes.excuses(root, given)
        ):
            _, operation, _, _, first, second, third, *_ = root
            expected = (operation, first, second, third, given, 0)
            self.outcome.divergence = Divergence(root, root, expected)
            return True
        return False


def _entry(record: TraceRecord, base_depth: int) -> Entry:
    _, operation, _, depth, first, second, third, result, _, _ = record
    return operation, first, second, third, result, depth - base_depth


def is_interleaved(records: Sequence[TraceRecord], root: TraceRecord) -> bool:
    """Whether another CPU's operations ended between those that `root` called; the model mixes none."""
    other = False
    for record in reversed(records[: root.sequence]):
        if record.cpu != root.cpu:
            other = True
        elif record.depth <= root.depth:
            return False
        elif other:
            return True
    return False


def is_refusal(divergence: Divergence) -> bool:
    """Whether the kernel gave nothing where the model gives a block: then both can go on together."""
    return (
        divergence.record is divergence.root
        and divergence.root.result == 0
        and divergence.root.operation in _GIVES_POINTER
    )
