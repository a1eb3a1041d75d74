"""One stop, every host, every command: equal reports. QEMU itself says that it was one and the same stop."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest

from coronel_gdb.backends.memory_host import MachineTarget
from coronel_gdb.commands.command import Command
from coronel_gdb.plugins import commands
from lab.paths import KERNEL_ELF
from tests.conformance.hosts import DUMPS, LIVE, PROVENANCE, Answer, OnTarget
from tests.conformance.stops import STOPS, Stop, standing

VALUE = "g_kernel_heap"
TABLE = "paging::kernel_directory_"
MORE = [
    "pagewalk --access w g_kernel_heap",
    "pagewalk --find-physical 0x3fe000",
    "coronel whatis --physical 0x3fe000",
    "coronel whatis $rip",
    "pagewalk g_kernel_heap->first_block_",
    "pagewalk (unsigned long)g_kernel_heap + 8",
    "pagewalk *g_kernel_heap",
    "pagewalk paging::kernel_directory_",
    "pagewalk $rsp",
    "pagewalk 0xffff7fffffffffff",
    "pagewalk --cr3 0xfff000000",
    "pagewalk --cr3 g_kernel_heap",
    "pagewalk no_such_symbol",
    "pagewalk g_kernel_heap->heap_start_ = 1",
    "pagewalk coronel_checkpoint(7, (const char *)0)",
]
RUNNING_QEMU = {
    "--compare": "there is no QEMU to compare with",
    "--find-physical": "it names RAM and devices as QEMU does",
    "pagewalk g_kernel_heap": "the same",
}
NOT_SIMULATED = {
    **RUNNING_QEMU,
    "--access": "no processor sets A and D in its entries",
    "--process": "it has none",
    "--every-process": "it has none",
    "status": "it is about the host",
    "whatis": "it has no file with functions, and no trace",
    "--ledger": "no boot loader has left anything in it",
    "replay": "what it does leaves no trace",
    "memcheck": "it has no memory map of a boot loader to judge the frame manager by",
}
"""Part of a line → why that host cannot answer it alike."""
AFTER_OPERATIONS = {
    "--leaks": "who called it has the pointers to the blocks, not its memory",
}
"""The same for a simulated machine on which something has been done."""


def answerable(line: str, unlike: dict[str, str]) -> bool:
    """Whether no part of the line is among those."""
    return not any(part in line for part in unlike)


def lines(command: Command) -> Iterator[str]:
    """A command alone, and with each of its options; what takes an address is given the same expression."""
    name = f"coronel {command.name}"
    yield name
    for option in command.options:
        words = [option.name] if option.name.startswith("--") else []
        yield " ".join([name, *words, *([value(option.name, option.value)] if option.value else [])])


def value(name: str, placeholder: str) -> str:
    """What stands for a value in the usage, filled in: the first of `r|w|x`, no file, else an expression."""
    if name == "--cr3":
        return TABLE
    if placeholder == "FILE":
        return "/nonexistent/file"
    first, *others = placeholder.split("|")
    return first if others and not first.isupper() else VALUE


LINES = [line for command in commands() for line in lines(command)]


@dataclass
class Collected:
    """All answers of one stop."""

    stop: Stop
    answers: dict[str, dict[str, Answer]] = field(default_factory=dict)
    """Line → host → what --json left."""
    texts: dict[str, dict[str, Answer]] = field(default_factory=dict)
    """The same without --json."""


@pytest.fixture(scope="module", params=STOPS, ids=lambda stop: stop.name)
def collected(request: pytest.FixtureRequest) -> Iterator[Collected]:
    found = Collected(request.param)
    with ExitStack() as stack:
        stood = stack.enter_context(standing(request.param))
        before = stood.state()
        for name, opened in LIVE.items():
            with opened(stood.machine) as host:
                for line in LINES + MORE if request.param.thorough else LINES:
                    found.answers.setdefault(line, {})[name] = host.ask(f"{line} --json")
                    if request.param.thorough:
                        found.texts.setdefault(line, {})[name] = host.ask(line)
        assert stood.state() == before, "a host has changed the machine"
        assert "paused" in stood.machine.monitor("info status")
        for name, opened in DUMPS.items() if request.param.dumped else ():
            with opened(stood.machine) as host:
                for line in LINES:
                    if not answerable(line, RUNNING_QEMU):
                        continue
                    found.answers[line][name] = host.ask(f"{line} --json")
        if stood.simulated is not None:
            on_model = OnTarget(partial(MachineTarget, stood.simulated, KERNEL_ELF))
            unlike = NOT_SIMULATED | (AFTER_OPERATIONS if request.param.mixed[1] else {})
            for line in LINES:
                if answerable(line, unlike):
                    found.answers[line]["simulated"] = on_model.ask(f"{line} --json")
        yield found


def comparable(answer: Answer) -> dict[str, Any]:
    """A report without what is the host's own: provenance, and its words."""
    report = answer.report
    if "error" in report:
        return {**report, "error": without_reason(report["error"])}
    facts = {name: value for name, value in report["facts"].items() if name not in PROVENANCE}
    return {**report, "facts": facts}


def without_reason(words: str) -> str:
    """What cannot be evaluated is said alike; why is the debugger's own sentence, unless it is ours."""
    for line in MORE:
        said = f"cannot evaluate {line.removeprefix('pagewalk ')}: "
        if said in words and "no command does that" not in words:
            return words.partition(said)[0] + said
    return words


def test_every_host_gives_the_same_report(collected: Collected) -> None:
    differences = []
    for line, answers in collected.answers.items():
        (first, expected), *others = ((host, comparable(answer)) for host, answer in answers.items())
        for other, report in others:
            differences += [
                f"{line}: {key}: {other} {report.get(key)}, {first} {expected.get(key)}"
                for key in report | expected
                if report.get(key) != expected.get(key)
            ]
    assert differences == []


def test_text_and_json_leave_the_same_exit_code(collected: Collected) -> None:
    for line, answers in collected.texts.items():
        for host, answer in answers.items():
            with_json = collected.answers[line][host]
            assert answer.exit_code == with_json.exit_code, line
            assert answer.refused == ("error" in with_json.report), line
            assert "Traceback" not in answer.text


def test_the_reports_are_not_empty(collected: Collected) -> None:
    """Equal nothings would be equal too: the list of scenarios says what there is to find."""
    for command, codes in collected.stop.scenario.findings.items():
        for answer in collected.answers[f"coronel {command}"].values():
            assert [found["code"] for found in answer.report["findings"]] == codes
    if collected.stop.name == "overflow":
        assert collected.answers["coronel heapcheck"]["lldb"].report["findings"][0]["code"] == "HEAP001"
    for host, answer in collected.answers["coronel pagewalk"].items():
        assert len(answer.report["tables"][0]["rows"]) >= 4, host
    assert ("simulated" in collected.answers["coronel heapcheck"]) == (collected.stop.mixed is not None)
