"""`coronel triage`: many dumps, grouped by cause, on all cores or on a Dask cluster."""

import argparse
import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from coronel_gdb.commands.command import Command, Context, Option, Progress, no_progress
from coronel_gdb.errors import CoronelError, UsageError
from coronel_gdb.plugins import load
from coronel_gdb.report import Absent, Finding, Report, Table

if TYPE_CHECKING:
    from concurrent.futures import Future

_EXAMPLES = 3
_SCHEDULER_SECONDS = 3


@dataclass(frozen=True, slots=True)
class Looked:
    """What came of one dump: its causes, or the error that kept it from being looked at."""

    path: str
    causes: tuple[str, ...] = ()
    checked: int = 0
    not_checked: int = 0
    error: str = ""


Look = Callable[[str, str | None], Looked]
"""(dump, kernel) → what came of it; a function that another process can find by its name."""


def look(path: str, kernel: str | None, profile: str | None = None) -> Looked:
    """Check one dump; it never raises, because one bad dump must not end the others' checks.

    `profile` is the file that says what is what in the kernel, where one is named.
    """
    from coronel_gdb.backends.dump_host import DumpTarget  # here: every command line imports this module
    from coronel_gdb.checks.signature import cause
    from coronel_gdb.commands import memcheck

    try:
        loaded = load()
        target = DumpTarget(Path(path), Path(kernel) if kernel else None, readers=loaded.readers)
        if target.kernel() is None:
            return Looked(path, error="no kernel in it: name the kernel with --kernel KERNEL.elf")
        context = Context(target, added=loaded.added)
        context.profile_file = Path(profile) if profile else None
        found = memcheck.run(context, memcheck.COMMAND.parse([]))
        if not found.checked:
            why = found.not_checked[0].why if found.not_checked else "nothing could be checked"
            return Looked(path, error=why)
        findings = found.findings or _replayed(context)
        site = _Sites(context)
        causes = sorted({cause(finding, site.of(finding)) for finding in findings})
        return Looked(path, tuple(causes), found.checked, len(found.not_checked))
    except CoronelError as error:
        return Looked(path, error=str(error))
    except (RecursionError, MemoryError) as error:
        return Looked(path, error=f"{type(error).__name__}: its data cannot be followed")


def _replayed(context: Context) -> Sequence[Finding]:
    """Where all structures are sound, the trace may still tell of an operation that went wrong."""
    from coronel_gdb.commands import replay

    with suppress(CoronelError):
        return replay.run(context, replay.COMMAND.parse([])).findings
    return ()


class _Sites:
    """Where blocks were allocated, by the kernel's trace; nothing where there is none."""

    def __init__(self, context: Context) -> None:
        from coronel_gdb.lift.places import Places
        from coronel_gdb.lift.trace import history, lift_trace
        from coronel_gdb.profiles.trace import resolve_replay

        self._history = history
        self._place = Places(context.target.kernel())
        self._records = []
        self._header = 0
        with suppress(CoronelError):
            profile = resolve_replay(context.named, context.target.kernel())
            self._records = lift_trace(context.target, context.space, profile.trace).records
            self._header = context.profile.heap.rules.header_bytes

    def of(self, finding: Finding) -> str:
        """The place that allocated the suspected block, or else the damaged one."""
        suspect = finding.data.get("suspect")
        block = suspect.get("block") if isinstance(suspect, dict) else suspect
        for candidate in (block, finding.data.get("block")):
            if isinstance(candidate, int) and self._records:
                allocated = self._history(self._records, candidate + self._header).allocated
                if allocated is not None:
                    place = self._place(allocated)
                    return "" if place.startswith("0x") else place
        return ""


def run(options: argparse.Namespace, kernel: Path | None, progress: Progress = no_progress) -> Report:
    """Look at all dumps and group them; `progress` is told how many are done."""
    if not options.dumps:
        raise UsageError("triage: name dumps, or folders of dumps")
    paths = list(dict.fromkeys(str(path) for path in _files(options.dumps, kernel)))
    if not paths:
        raise UsageError(f"triage: no file in {', '.join(options.dumps)}")
    elf = str(kernel) if kernel else None
    looks = partial(look, profile=options.profile)
    cores = len(os.sched_getaffinity(0))
    if options.scheduler is not None:
        looked, where = _on_cluster(options.scheduler, paths, elf, looks, progress)
    else:
        workers = min(cores, len(paths))
        looked, where = [], f"{workers} process{'es' * (workers > 1)}"
        for one in on_cores(paths, elf, workers, looks):
            looked.append(one)
            progress(len(looked), f"of {len(paths):,} dumps")
    return grouped(looked, where)


def _files(names: Iterable[str], kernel: Path | None) -> Iterator[Path]:
    """The named files, and all files in the named folders that are not hidden and not the kernel."""
    for name in names:
        path = Path(name)
        if not path.is_dir():
            yield path
            continue
        for file in sorted(path.rglob("*")):
            hidden = any(part.startswith(".") for part in file.relative_to(path).parts)
            same = kernel is not None and file.exists() and file.samefile(kernel)
            if file.is_file() and not hidden and not same:
                yield file


def on_cores(paths: Sequence[str], kernel: str | None, workers: int, look: Look) -> Iterator[Looked]:
    """On this machine, a process for each core."""
    from concurrent.futures import ProcessPoolExecutor

    with ProcessPoolExecutor(workers) as pool:
        futures = [pool.submit(look, path, kernel) for path in paths]
        for path, future in zip(paths, futures, strict=True):
            yield _result(path, future) or _alone(path, kernel, look)


def _result(path: str, future: "Future[Looked]") -> Looked | None:
    """What came of it; None when a process of the pool died, and all that were waiting with it."""
    from concurrent.futures.process import BrokenProcessPool

    try:
        return future.result()
    except BrokenProcessPool:
        return None
    except OSError as error:
        return Looked(path, error=str(error))


def _alone(path: str, kernel: str | None, look: Look) -> Looked:
    """Once more in a process of its own, so that the dump that kills it is known."""
    from concurrent.futures import ProcessPoolExecutor

    with ProcessPoolExecutor(1) as pool:
        found = _result(path, pool.submit(look, path, kernel))
    return found or Looked(path, error="the process that looked at it died (out of memory?)")


def _on_cluster(
    address: str, paths: Sequence[str], kernel: str | None, look: Look, progress: Progress
) -> tuple[list[Looked], str]:
    """On a Dask cluster whose workers see the same files and have coronel-gdb installed."""
    try:
        from distributed import Client
    except ImportError as error:
        raise UsageError("triage: --scheduler needs `pip install coronel-gdb[distributed]`") from error
    try:
        client = Client(address, timeout=_SCHEDULER_SECONDS)  # type: ignore[no-untyped-call]
    except (OSError, ValueError, ImportError) as error:
        raise UsageError(f"triage: no Dask scheduler answers at {address}: {error}") from error
    with client:
        futures = client.map(look, paths, [kernel] * len(paths), pure=False)
        looked = []
        for path, future in zip(paths, futures, strict=True):
            try:
                looked.append(future.result())
            except Exception as error:  # whatever a worker died of; each dump is a row
                looked.append(Looked(path, error=f"the worker failed: {error}"))
            progress(len(looked), f"of {len(paths):,} dumps")
        return looked, f"the cluster at {address}"


def grouped(looked: Sequence[Looked], where: str) -> Report:
    """The report: one row a cause, the most frequent first; then what could not be looked at."""
    from coronel_gdb.checks.signature import signature
    from coronel_gdb.commands.walks.words import counted

    groups: dict[tuple[str, ...], list[Looked]] = defaultdict(list)
    for one in looked:
        if not one.error:
            groups[one.causes].append(one)
    bad = {causes: members for causes, members in groups.items() if causes}
    ordered = sorted(bad.items(), key=lambda item: (-len(item[1]), item[0]))
    report = Report("triage", "", checked=sum(one.checked for one in looked))
    rows = []
    for causes, members in ordered:
        name, first = signature(causes), members[0]
        examples = ", ".join(Path(one.path).name for one in members[:_EXAMPLES])
        examples += f" and {len(members) - _EXAMPLES} more" if len(members) > _EXAMPLES else ""
        rows.append((len(members), name, causes[0], examples))
        lines = [f"cause    {text}" for text in causes]
        lines += [f"dumps    {len(members):,}: {examples}"]
        data = {"signature": name, "causes": list(causes), "dumps": [one.path for one in members]}
        following = (f"coronel report {first.path} -o report.html",)
        report.findings.append(Finding("CAUSE", causes[0], int(name, 16), tuple(lines), data, following))
    failed = [one for one in looked if one.error]
    clean = groups.get((), [])
    partly = [one for one in clean if one.not_checked]
    report.not_checked += [Absent(one.path, one.error) for one in failed]
    report.not_checked += [
        Absent(one.path, f"{counted(one.not_checked, 'check')} not possible") for one in partly
    ]
    report.tables.append(Table("causes", ("dumps", "signature", "cause", "examples"), rows))
    with_causes = f"{sum(map(len, bad.values())):,} with {counted(len(ordered), 'cause')}"
    report.summary = (
        f"{counted(len(looked), 'dump')}: {with_causes}, {len(clean):,} without a finding, "
        f"{len(failed):,} could not be looked at"
    )
    report.facts.append(("looked at by", where))
    return report


COMMAND = Command(
    "triage",
    "Look at many dumps and group those that have the same cause.",
    "Runs memcheck on every dump, on all cores. A cause is made of codes, structures, the kind of suspect\n"
    "and the place that allocated the suspected block, so it is the same for every run of one bug. A dump\n"
    "that cannot be looked at is a row. Small dumps bring their kernel; others need --kernel. Exit code:\n"
    "0 all clean, 1 findings, 2 could not check all.",
    "coronel triage crashes/",
    (
        Option("dumps", "dumps, or folders of dumps", "DIR|FILE", repeated=True),
        Option("--scheduler", "look at them on the Dask cluster of this scheduler instead", "ADDRESS"),
    ),
    lambda _context, _options: Report("triage", ""),
)
