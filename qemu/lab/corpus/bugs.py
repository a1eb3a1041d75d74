"""The kernel's own buggy scenarios, run for real: the commands against what the kernel noted of its bug."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

from coronel_gdb.backends.dump_host import DumpTarget
from coronel_gdb.commands.command import Context
from coronel_gdb.report import Finding
from lab.corpus.judge import Said, ask, numbers, suspect
from lab.machine import Machine
from lab.paths import BOOT_ELF, KERNEL_ELF
from lab.scenarios import Scenario, scenarios
from model.layouts import SEEDED_FAULT
from model.types import PAGE_BYTES, VirtualAddress

ROUNDS = 3
_TRIES = 12
_BLAMED = ("heap_overflow", "heap_underflow", "use_after_free")
"""Faults of which the kernel notes whose data the bytes ran out of, or whose block was used too late."""
_REFUSED = {
    "double_free": "g_kernel_heap",
    "invalid_free": "g_kernel_heap",
    "frame_double_free": "g_physical_manager",
}
"""Faults that damage nothing: a manager refused the call, and it is the manager that counts them."""


@dataclass(frozen=True, slots=True)
class Bug:
    """One run: what the commands found, whether that names what the kernel noted, and the culprit.

    `blamed` is None where the kernel notes no culprit.
    """

    scenario: str
    command_line: str
    codes: tuple[str, ...]
    named: bool
    blamed: bool | None
    said: Said

    @property
    def is_wrong(self) -> bool:
        """Whether the commands missed it, named another place or blamed another block, crashed or hung."""
        return not self.named or self.blamed is False or self.said.failed is not None


def run_bugs(seed: int, rounds: int = ROUNDS) -> Iterator[Bug]:
    """Every buggy scenario, in a fresh kernel and in some that were used before."""
    for scenario in scenarios().values():
        if scenario.fault != "none":
            random = Random(f"{seed} {scenario.name}")
            tries = (run_bug(scenario, _line(scenario, random, attempt)) for attempt in range(_TRIES))
            yield from islice((bug for bug in tries if bug is not None), rounds)


def _line(scenario: Scenario, random: Random, attempt: int) -> str:
    if attempt == 0:
        return scenario.append
    how = f"seed={random.randrange(1 << 32)} ops={random.randrange(50, 3000)}"
    return f"scenario=mixed,{scenario.name} {how}"


def run_bug(scenario: Scenario, line: str) -> Bug | None:
    """One run of it; None when it found nothing there to damage."""
    options = {"memory": scenario.memory, "cpus": scenario.cpus, "extra": scenario.extra}
    with TemporaryDirectory(prefix="coronel-corpus-") as directory:
        path = Path(directory) / "stop.core"
        with Machine(BOOT_ELF, line, **options) as machine:  # type: ignore[arg-type]
            end = "exception" if scenario.ends == "exception" else "coronel: done"
            machine.wait_for_serial(end, 10 * scenario.timeout)
            machine.monitor("stop")
            machine.monitor(f"dump-guest-memory {path}")
        context = Context(DumpTarget(path, KERNEL_ELF))
        truth = _Truth(context, scenario.fault)
        if not truth.happened:
            return None
        said = ask(context)
        about = [finding for finding in said.findings if truth.is_in(finding)]
        first = next((finding for finding in about if suspect(finding) is not None), None)
        blamed = None
        if scenario.fault in _BLAMED:
            blamed = first is not None and suspect(first) == truth.culprit
        codes = tuple(sorted({finding.code for finding in said.findings}))
        return Bug(scenario.name, line, codes, bool(about), blamed, said)


class _Truth:
    """What the kernel noted in g_seeded_fault before its bug struck (docs/spec.md §11.4)."""

    def __init__(self, context: Context, fault: str) -> None:
        variable = context.target.symbol("g_seeded_fault")
        assert variable is not None
        data = context.space.read(variable, SEEDED_FAULT.size_bytes)
        self.happened = SEEDED_FAULT.read(data, "kind") != 0
        victim, address = SEEDED_FAULT.read(data, "victim"), SEEDED_FAULT.read(data, "address")
        self.culprit = SEEDED_FAULT.read(data, "culprit")
        self._start, self._end = address, address + SEEDED_FAULT.read(data, "length")
        self._names = {victim, address & -PAGE_BYTES} - {0}
        if fault in _REFUSED:
            pointer = context.target.symbol(_REFUSED[fault])
            assert pointer is not None
            self._names = {context.space.read_u64(VirtualAddress(pointer))}

    def is_in(self, finding: Finding) -> bool:
        """Whether the finding names the damaged structure, or an address among the damaged bytes."""
        named = numbers(finding)
        return bool(named & self._names) or any(self._start <= each < self._end for each in named)


def table(bugs: Iterable[Bug]) -> list[str]:
    """The runs by scenario, in Markdown."""
    by_name: dict[str, list[Bug]] = {}
    for bug in bugs:
        by_name.setdefault(bug.scenario, []).append(bug)
    rows = ["| scenario | runs | detected | place named | culprit first | codes |"]
    rows.append("| --- | ---: | ---: | ---: | ---: | --- |")
    for name, runs in by_name.items():
        blamed = [bug.blamed for bug in runs if bug.blamed is not None]
        cells = (
            len(runs),
            sum(bool(bug.codes) for bug in runs),
            sum(bug.named for bug in runs),
            sum(blamed) if blamed else "–",
            ", ".join(sorted({code for bug in runs for code in bug.codes})),
        )
        rows.append(f"| `{name}` | " + " | ".join(map(str, cells)) + " |")
    return rows
