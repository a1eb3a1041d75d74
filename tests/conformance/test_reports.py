"""One stop, every host, every command: equal reports. QEMU itself says that it was one and the same stop."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest

from coronel_gdb.backends.memory_host import MachineTarget
from coronel_gdb.commands.command import Command
from coronel_gdb.plugins import commands
from lab.paths import KERNEL_ELF
from tests.conformance.hosts import DEBUGGERS, DUMPS, LIVE, PROVENANCE, UNLIKE, Answer, Host, OnTarget
from tests.conformance.stops import STOPS, Stop, standing

pytestmark = pytest.mark.timeout(600)
"""The first test of a stop waits for the answers of all hosts."""

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
AFTER_OPERATIONS = {
    "--leaks": "who called it has the pointers to the blocks, not its memory",
}
"""Part of a line → why a simulated machine on which something has been done cannot answer it alike."""


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

    def unlike(self, host: str) -> dict[str, str]:
        """What that host cannot answer alike at this stop."""
        after = AFTER_OPERATIONS if host == "simulated" and self.stop.mixed and self.stop.mixed[1] else {}
        return UNLIKE.get(host, {}) | after

    def ask(self, name: str, host: Host, lines: Sequence[str]) -> None:
        """Each line that the host can answer, and its text where the stop is looked at thoroughly."""
        for line in lines:
            if answerable(line, self.unlike(name)):
                self.answers.setdefault(line, {})[name] = host.ask(f"{line} --json")
                if name in DEBUGGERS and self.stop.thorough:
                    self.texts.setdefault(line, {})[name] = host.ask(line)


@pytest.fixture(scope="module", params=STOPS, ids=lambda stop: stop.name)
def collected(request: pytest.FixtureRequest) -> Iterator[Collected]:
    found = Collected(request.param)
    with ExitStack() as stack:
        stood = stack.enter_context(standing(request.param))
        before = stood.state()
        for name, opened in (LIVE | DUMPS if request.param.dumped else LIVE).items():
            with opened(stood.machine) as host:
                more = MORE if name in DEBUGGERS and request.param.thorough else []
                found.ask(name, host, LINES + more)
        assert stood.state() == before, "a host has changed the machine"
        assert "paused" in stood.machine.monitor("info status")
        if stood.simulated is not None:
            on_model = OnTarget(partial(MachineTarget, stood.simulated, KERNEL_ELF))
            found.ask("simulated", on_model, LINES)
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


def test_every_command_is_asked_of_every_host(collected: Collected) -> None:
    """What is new is in LINES by itself; what a host is not asked has its reason in UNLIKE."""
    hosts = set(LIVE | DUMPS if collected.stop.dumped else LIVE)
    if collected.stop.mixed is not None:
        hosts.add("simulated")
    for line in LINES:
        unasked = hosts - set(collected.answers[line])
        assert not any(answerable(line, collected.unlike(host)) for host in unasked), line
    for host in hosts:
        assert all(any(part in line for line in LINES) for part in collected.unlike(host)), host


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
    assert not differences, "\n".join(differences)


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
