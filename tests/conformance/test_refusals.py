"""Where there is nothing to check, every debugger says so in the same words, with exit code 2."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from lab.gdbmi import Gdb
from lab.lldb import Lldb
from lab.machine import Machine
from lab.paths import BOOT_ELF, GDB_SCRIPT, KERNEL_ELF
from lab.stopped import BOOT_SECONDS
from tests.conformance.hosts import Host, InGdb, InLldb
from tests.conformance.test_reports import LINES

CHECKS = ("heapcheck", "pagewalk", "frames", "regions")
WRONG = ("heapcheck --block ''", "pagewalk --access q g_kernel_heap", "pagewalk --cpl 7", "snapshot forget x")
SPLIT = {
    "heapcheck --nonsense": ("unrecognized arguments: --nonsense", "unknown or ambiguous option"),
    "pagewalk --cr3": ("--cr3: expected one argument", "last option requires an argument"),
    "frames 12": ("unrecognized arguments: 12", "'frames' doesn't take any arguments"),
    "pagewalk 'unclosed": ("cannot split the arguments", "no target"),
}
"""Line → what GDB's prompt says and what LLDB does: it splits the line itself, and so it completes it."""
Words = dict[str, str]
"""Line → the words of the refusal."""


@contextmanager
def gdb(*steps: str) -> Iterator[InGdb]:
    with Gdb(script=GDB_SCRIPT) as debugger:
        for step in steps:
            debugger.console(step)
        yield InGdb(debugger)


@contextmanager
def lldb(*steps: str) -> Iterator[InLldb]:
    with Lldb() as debugger:
        for step in steps:
            debugger.console(step)
        yield InLldb(debugger)


Opened = Callable[..., AbstractContextManager[Host]]
DEBUGGERS: dict[str, Opened] = {"gdb": gdb, "lldb": lldb}
LOAD = {"gdb": "file {}", "lldb": "target create {}"}
CONNECT = {"gdb": "target remote {}", "lldb": "process connect unix-connect://{}"}


def words(host: Host, lines: Sequence[str]) -> Words:
    """What each line refuses with; the same with --json, and 2 either way."""
    found = {}
    for line in lines:
        plain, json = host.ask(line), host.ask(f"{line} --json")
        if "error" not in json.report:  # `coronel status` answers wherever it is
            assert plain.exit_code == json.exit_code == 2, line
            found[line] = repr(json.report["not_checked"])
            continue
        assert (plain.exit_code, plain.refused, json.exit_code) == (2, True, 2), line
        assert "\n" not in plain.text, line
        assert str(json.report["error"]) in plain.text, line
        found[line] = plain.text
    return found


def each(lines: Sequence[str], program: Path | None = None, machine: Machine | None = None) -> Words:
    """The words, which are those of every debugger; one after the other, as the stub serves one at a time."""
    said = []
    for name, opened in DEBUGGERS.items():
        steps = [LOAD[name].format(program)] if program else []
        steps += [CONNECT[name].format(machine.gdb_socket)] if machine else []
        with opened(*steps) as host:
            said.append(words(host, lines))
    assert all(other == said[0] for other in said)
    return said[0]


def test_nothing_loaded() -> None:
    said = each(LINES)
    assert "no kernel loaded" in said["coronel heapcheck"]
    assert "no target" in said["coronel pagewalk"]


def test_wrong_values() -> None:
    said = each(WRONG)
    assert "--access takes r, w or x, not q" in said["pagewalk --access q g_kernel_heap"]


@pytest.mark.parametrize("line", SPLIT)
def test_what_is_no_option_is_refused_in_each_debuggers_way(line: str) -> None:
    for (name, opened), words in zip(DEBUGGERS.items(), SPLIT[line], strict=True):
        with opened() as host:
            host.ask("coronel status")  # leaves another exit code, unless the line does
            answer = host.ask(line)
            assert (answer.refused, answer.exit_code) == (True, 2), name
            assert words in answer.text, name
            assert len(answer.text.splitlines()) == 1, name


def test_a_kernel_and_no_target() -> None:
    said = each(LINES, KERNEL_ELF)
    assert all("no target" in said[f"coronel {name}"] for name in CHECKS)


def test_a_program_that_is_no_such_kernel() -> None:
    said = each(LINES, Path("/bin/true"))
    assert "no profile fits this kernel's symbols" in said["coronel heapcheck"]


@pytest.fixture(scope="module")
def machine() -> Iterator[Machine]:
    with Machine(BOOT_ELF, "scenario=boot", paused=True) as machine:
        yield machine


def test_before_paging(machine: Machine) -> None:
    said = each([line for line in LINES if line != "coronel status"], KERNEL_ELF, machine)
    assert all("no 64-bit paging yet (paging off, real mode" in said[f"coronel {name}"] for name in CHECKS)


def test_before_the_structures_exist(machine: Machine) -> None:
    with Gdb() as debugger:
        debugger.attach(machine.gdb_socket, KERNEL_ELF)
        debugger.run_to("memory::initialize_memory", BOOT_SECONDS)
        debugger.run("disconnect")
    said = each(["heapcheck", "frames", "regions"], KERNEL_ELF, machine)
    assert "kernel heap not initialised: g_kernel_heap is null" in said["heapcheck"]


def test_a_running_target(machine: Machine) -> None:
    with Gdb(script=GDB_SCRIPT, asynchronous=True) as debugger:
        debugger.attach(machine.gdb_socket, KERNEL_ELF)
        debugger.resume()
        said = words(InGdb(debugger), ["heapcheck", "frames", "regions", "pagewalk"])
        debugger.interrupt()
    with Lldb() as other:
        other.attach(machine.gdb_socket, KERNEL_ELF)
        other.asynchronous(on=True)
        other.console("process continue")
        deadline = time.monotonic() + BOOT_SECONDS  # LLDB's own thread notes it, a little later
        while other.state() != "running" and time.monotonic() < deadline:
            time.sleep(0.05)
        assert other.state() == "running"
        assert words(InLldb(other), list(said)) == said
        other.console("process interrupt")
    assert all("the target is running" in text for text in said.values())
