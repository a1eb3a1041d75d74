"""Start an engine with vectors in its memory, wait for its end, and take the results out of it."""

import mmap
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self

from lab.errors import LabError
from lab.hardware.bochs import BochsBatch
from lab.hardware.engines import Bochs, Engine, Kvm
from lab.hardware.expected import Expected, Tally, differences
from lab.hardware.predict import Predictor
from lab.hardware.vectors import (
    CASES_MAX,
    RESULT_BYTES,
    RESULTS,
    VECTOR_BYTES_MAX,
    VECTORS,
    Flag,
    Group,
    Kind,
    pack,
    progress,
    results,
)
from lab.machine import Machine
from lab.paths import ROOT

if TYPE_CHECKING:
    import numpy as np

HARNESS = ROOT / "build" / "hardware" / "harness.bin"
# What a batch may take when the computer is busy with other things.
BATCH_SECONDS = 900.0
FINISHED = 0x10 * 2 + 1
SHOWN_MAX = 20


@dataclass(slots=True)
class Count:
    """What came of the cases of one run."""

    cases: int = 0
    groups: int = 0
    wrong: int = 0
    shown: list[str] = field(default_factory=list)
    tally: Tally = field(default_factory=Tally)

    def add(self, other: "Count") -> None:
        """Add another run's figures."""
        self.cases += other.cases
        self.groups += other.groups
        self.wrong += other.wrong
        self.shown = (self.shown + other.shown)[:SHOWN_MAX]
        self.tally.deviations.update(other.tally.deviations)
        self.tally.omitted.update(other.tally.omitted)
        self.tally.rules.update(other.tally.rules)
        self.tally.deviating += other.tally.deviating


class Batch(Protocol):
    """A started engine: a context, and its results when it has come to its end."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def results(self) -> bytes:
        """What the harness noted; `LabError` when it did not come to its end."""


class QemuBatch:
    """Vectors in QEMU, TCG or KVM: they and the results are in memory that this process shares."""

    def __init__(self, engine: Engine, groups: list[Group]) -> None:
        self._engine = engine
        self._cases = sum(len(group.cases) for group in groups)
        self._vectors = pack(groups, five_levels=engine.levels == 5, to_port=False)
        if len(self._vectors) > VECTOR_BYTES_MAX or self._cases > CASES_MAX:
            raise LabError(f"{self._cases} cases are too many for one run")
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        if not HARNESS.is_file():
            raise LabError(f"no harness at {HARNESS}: run `make hardware` or `make -C qemu/hardware`")
        with ExitStack() as starting:
            file = starting.enter_context(tempfile.NamedTemporaryFile(prefix="coronel-ram-"))
            file.truncate(self._engine.memory_bytes)
            self._memory = mmap.mmap(file.fileno(), self._engine.memory_bytes)
            starting.callback(self._memory.close)
            self._memory[VECTORS : VECTORS + len(self._vectors)] = self._vectors
            self._machine = starting.enter_context(_machine(self._engine, Path(file.name)))
            self._stack = starting.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def results(self) -> bytes:
        """What the harness noted; `LabError` when it did not come to its end."""
        try:
            code = self._machine.wait_exit(BATCH_SECONDS)
        except LabError as error:
            raise LabError(f"case {self._begun()} of {self._cases} hangs ({self._engine.name})") from error
        if code != FINISHED:
            raise LabError(f"{self._engine.name} ended with code {code} in case {self._begun()}")
        return bytes(self._memory[RESULTS : RESULTS + RESULT_BYTES * self._cases])

    def _begun(self) -> int:
        return progress(bytes(self._memory[VECTORS : VECTORS + 64])) - 1


class _KvmMachine(Machine):
    ACCELERATOR = "kvm"


def _machine(engine: Engine, memory: Path) -> Machine:
    """QEMU with the CPU that the engine describes, its RAM in a file."""
    kvm = isinstance(engine, Kvm)
    size_mib = engine.memory_bytes >> 20
    model = (
        "host,-arch-capabilities,vendor=GenuineIntel,host-phys-bits=off"
        if kvm
        else f"max,{'+' if engine.huge_pages else '-'}pdpe1gb"
    )
    path = str(memory).replace(",", ",,")
    return (_KvmMachine if kvm else Machine)(
        HARNESS,
        memory=f"{size_mib}M",
        cpu_model=f"{model},phys-bits={engine.physical_bits}",
        extra=[
            "-object", f"memory-backend-file,id=ram,mem-path={path},size={size_mib}M,share=on",
            "-machine", "memory-backend=ram",
        ],
    )  # fmt: skip


def start(engine: Engine, groups: list[Group]) -> Batch:
    """The batch for an engine, not entered yet."""
    if isinstance(engine, Bochs):
        return BochsBatch(engine, groups)
    return QemuBatch(engine, groups)


def run(engine: Engine, groups: Iterable[Group]) -> Count:
    """Predict, execute and compare; while one batch executes, the next one is predicted."""
    predictor = Predictor(engine)
    count = Count()
    with ExitStack() as last:
        pending: tuple[Batch, list[Group], list[Expected]] | None = None
        for batch_groups, expected in _batches(predictor, groups, engine.batch_cases):
            batch = start(engine, batch_groups)
            if pending is not None:
                # One after the other: engines share the processor with what predicts.
                _finish(count, engine, *pending)
                last.close()
            last.enter_context(batch)
            pending = batch, batch_groups, expected
        if pending is not None:
            _finish(count, engine, *pending)
    count.tally = predictor.total()
    return count


def _batches(
    predictor: Predictor, groups: Iterable[Group], batch_cases: int
) -> Iterator[tuple[list[Group], list[Expected]]]:
    batch: list[Group] = []
    expected: list[Expected] = []
    for group in groups:
        found = predictor.take(group)
        if not found:
            continue
        batch.append(group)
        expected += found
        if len(expected) >= batch_cases:
            yield batch, expected
            batch, expected = [], []
    if batch:
        yield batch, expected


def _finish(
    count: Count, engine: Engine, batch: Batch, groups: list[Group], expected: list[Expected]
) -> None:
    found = results(batch.results())
    count.cases += len(expected)
    count.groups += len(groups)
    wrong = differences(found, expected)
    count.wrong += len(wrong)
    for index in wrong[: SHOWN_MAX - len(count.shown)]:
        count.shown.append(describe(engine, groups, int(index), found[index], expected[index]))


def describe(engine: Engine, groups: list[Group], index: int, found: "np.void", expected: Expected) -> str:
    """A case that did not go as predicted, with all that is needed to look into it."""
    group, at = groups[0], index
    for group in groups:
        if at < len(group.cases):
            break
        at -= len(group.cases)
    case = group.cases[at]
    names = "|".join(str(flag.name) for flag in Flag if case.flags & flag)
    entries = " ".join(f"[{where:#x}]={value:#x}" for where, value in group.entries.items())
    seen = " ".join(f"{name} {int(found[name]):#x}" for name in found.dtype.names or ())
    said = " ".join(f"{name} {value:#x}" for name, value in expected._asdict().items())
    return (
        f"{engine.name}, {engine.levels} levels, M = {engine.physical_bits}: {Kind(case.kind).name} of "
        f"{group.linear:#x} {names} pkru {case.pkru:#x} pkrs {case.pkrs:#x} cr3 {group.cr3:#x} {entries}\n"
        f"    found    {seen}\n    expected {said}"
    )
