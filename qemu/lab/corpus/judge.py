"""What the commands make of one case."""

import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum
from types import FrameType

from coronel_gdb.commands.command import Context
from coronel_gdb.errors import CoronelError
from coronel_gdb.plugins import commands
from coronel_gdb.report import Finding
from lab.corpus.damage import Case

COMMANDS = (("memcheck", ""), ("heapcheck", ""), ("frames", "--ledger"), ("regions", ""), ("processes", ""),
            ("layout", ""), ("pagewalk", "--audit"))  # fmt: skip
_SECONDS = 30  # of this process's own time: on a busy machine a clock would tell of the others


class Outcome(Enum):
    """How a case ended."""

    FOUND = "found"
    ELSEWHERE = "found, another place named"
    REFUSED = "could not check, said why"
    MISSED = "missed"
    CRASHED = "crashed"
    HUNG = "hung"


@dataclass(frozen=True, slots=True)
class Judgement:
    """The outcome, and for an overflow whether the culprit was the first suspect."""

    outcome: Outcome
    attributed: bool | None = None
    detail: str = ""


class _TooLong(BaseException):
    """A command went on beyond its time; no command can swallow it."""


@dataclass(slots=True)
class Said:
    """All that the commands said about one stop; `failed` is the crash or hang at which they ended."""

    findings: list[Finding] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)
    failed: Judgement | None = None


def ask(context: Context) -> Said:
    """Run every command."""
    said = Said()
    for name, arguments in runnable():
        try:
            with _at_most(_SECONDS):
                report = _COMMANDS[name].run(context, _COMMANDS[name].parse(arguments.split()))
        except CoronelError as error:
            said.refusals.append(f"{name}: {error}")
            continue
        except _TooLong:
            said.failed = Judgement(Outcome.HUNG, detail=f"{name} went on for {_SECONDS} s")
            return said
        except Exception as error:  # any other exception is a crash, and what it was is the point
            said.failed = Judgement(Outcome.CRASHED, detail=f"{name}: {type(error).__name__}: {error}")
            return said
        said.findings += report.findings
        said.refusals += [f"{name}: {absent.what}: {absent.why}" for absent in report.not_checked]
    return said


def judge(context: Context, case: Case) -> Judgement:
    """The best that any command says of a case counts; a crash or hang of any is one."""
    said = ask(context)
    if said.failed:
        return said.failed
    findings, refusals = said.findings, said.refusals
    attributed = None
    if case.culprit is not None:
        suspects = [suspect(finding) for finding in findings if finding.subject in case.names]
        attributed = bool(suspects) and suspects[0] == case.culprit
    if any(numbers(finding) & case.names for finding in findings):
        return Judgement(Outcome.FOUND, attributed)
    if findings:
        titles = "; ".join(f"{finding.code} {finding.subject:#x}" for finding in findings[:3])
        return Judgement(Outcome.ELSEWHERE, attributed, titles)
    if refusals:
        return Judgement(Outcome.REFUSED, attributed, refusals[0])
    return Judgement(Outcome.MISSED, attributed)


def numbers(finding: Finding) -> set[int]:
    """Every address that a finding names."""
    return {finding.subject, *_numbers(finding.data)}


def runnable() -> list[tuple[str, str]]:
    """The commands that judge a kernel, of those there are."""
    return [(name, arguments) for name, arguments in COMMANDS if name in _COMMANDS]


_COMMANDS = {command.name: command for command in commands()}


def suspect(finding: Finding) -> object:
    """The block that the finding suspects first, None when it suspects none."""
    first = finding.data.get("suspect")
    return first.get("block") if isinstance(first, Mapping) else None


def _numbers(value: object) -> Iterator[int]:
    if isinstance(value, bool):
        return
    if isinstance(value, int):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _numbers(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _numbers(item)


@contextmanager
def _at_most(seconds: int) -> Iterator[None]:
    def stop(_number: int, _frame: FrameType | None) -> None:
        raise _TooLong

    before = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)
