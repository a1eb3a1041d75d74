"""What a user of LLDB does at the prompt: complete, ask for help, abbreviate, interrupt, follow a report."""

import json
import time
from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path

import pytest

from coronel_gdb.plugins import commands
from lab.errors import DebuggerRefused
from lab.gdbmi import Gdb
from lab.lldb import LLDB, Lldb
from lab.machine import Machine
from lab.paths import KERNEL_ELF, LLDB_SCRIPT, PACKAGES
from lab.scenarios import Scenario
from lab.stopped import MIXED_THEN_OVERFLOW
from tests.at_terminal import Terminal
from tests.conformance.stops import Stop, standing
from tests.gdb.test_bad_input import poke_tables

NAMES = [command.name for command in commands()]
OVERFLOW = Stop("overflow", Scenario("overflow", MIXED_THEN_OVERFLOW), arrival=2)


@pytest.fixture(scope="module")
def machine() -> Iterator[Machine]:
    with standing(OVERFLOW) as stood:
        yield stood.machine


@pytest.fixture(scope="module")
def lldb(machine: Machine) -> Iterator[Lldb]:
    with Lldb() as debugger:
        debugger.attach(machine.gdb_socket, KERNEL_ELF)
        yield debugger


def test_every_option_has_a_letter_as_lldbs_own_have(lldb: Lldb) -> None:
    assert lldb.console("heapcheck -j") == lldb.console("heapcheck --json")
    assert lldb.console("heapcheck -v") == lldb.console("heapcheck --verbose")
    for command in commands():
        offered = lldb.complete(f"coronel {command.name} -")
        assert len(set(offered)) == len(command.option_names())
        assert all(letter.isprintable() for letter in offered)


@pytest.mark.parametrize(
    ("typed", "plain"),
    [
        ("pagewalk g_kernel_heap --json", "pagewalk --json g_kernel_heap"),
        (
            "pagewalk -j -- (unsigned long)g_kernel_heap - 8",
            "pagewalk --json (unsigned long)g_kernel_heap - 8",
        ),
        ("pagewalk --cr3='paging::kernel_directory_' -j", "pagewalk --json --cr3 paging::kernel_directory_"),
        (
            'pagewalk --json "*(unsigned long *)&g_kernel_heap"',
            "pagewalk --json *(unsigned long *)&g_kernel_heap",
        ),
    ],
)
def test_options_and_expressions_may_stand_as_lldb_lets_them(lldb: Lldb, typed: str, plain: str) -> None:
    assert lldb.console(typed) == lldb.console(plain)
    assert lldb.session("coronel_exit") == 0


def test_a_line_that_lldb_refuses_leaves_nothing_of_itself(lldb: Lldb) -> None:
    with pytest.raises(DebuggerRefused, match="unknown or ambiguous option"):
        lldb.console("heapcheck --verbose --nonsense")
    assert lldb.session("coronel_exit") == 2
    before = lldb.console("heapcheck")
    with pytest.raises(DebuggerRefused):
        lldb.console("heapcheck --json --block")
    assert lldb.console("heapcheck") == before


@pytest.mark.parametrize("name", NAMES)
def test_help_explains_with_an_example(lldb: Lldb, name: str) -> None:
    text = lldb.console(f"help coronel {name}")
    for part in ("usage: ", "Command Options Usage:", "--json", "example: "):
        assert part in text
    assert name in lldb.console("coronel")


def test_abbreviations_mean_what_they_meant(lldb: Lldb) -> None:
    assert "number = 2" in lldb.console("fr v")
    assert "cr3" in lldb.console("reg read cr3")
    assert lldb.console("he heapcheck") == lldb.console("help heapcheck")
    assert lldb.console("heapc --json") == lldb.console("heapcheck --json")


def test_an_unknown_command_is_refused(lldb: Lldb) -> None:
    with pytest.raises(DebuggerRefused, match="coronel heapchek"):
        lldb.console("coronel heapchek")


def labelled(text: str, label: str) -> list[str]:
    """The lines of a finding behind a label."""
    _, _, rest = text.rpartition(f"\n  {label:<8} ")  # a field may have that name too, further up
    first, *others = rest.splitlines()
    return [first, *(line.strip() for line in takewhile(lambda line: line.startswith(" " * 11), others))]


def test_every_command_that_a_report_names_can_be_typed() -> None:
    """Also the repair: after it the heap is sound, as the report has promised."""
    with standing(OVERFLOW) as stood, Lldb() as lldb:
        lldb.attach(stood.machine.gdb_socket, KERNEL_ELF)
        report = lldb.console("heapcheck --verbose")
        assert lldb.session("coronel_exit") == 1
        for command in labelled(report, "next"):
            lldb.console(command)
        lldb.console("watchpoint delete --force")
        repair = [line for line in labelled(report, "repair") if not line.startswith("(")]
        assert repair
        for command in repair:
            lldb.console(command)
        assert "is sound" in lldb.console("heapcheck")


def test_loaded_twice_it_works_all_the_same(lldb: Lldb) -> None:
    before = lldb.console("heapcheck")
    lldb.console(f"command script import -r {LLDB_SCRIPT}")
    assert lldb.console("heapcheck") == before


def test_without_the_environments_packages_commands_still_work(
    machine: Machine, lldb: Lldb, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A checkout whose LLDB finds neither pyelftools nor tabulate: plainer, unverified, and said so."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "model").symlink_to(PACKAGES / "model")
    package = tmp_path / "coronel_gdb"
    package.mkdir()
    for entry in (PACKAGES / "coronel_gdb").iterdir():
        if entry.name != LLDB_SCRIPT.name:
            (package / entry.name).symlink_to(entry)
    script = package / LLDB_SCRIPT.name
    script.write_text(LLDB_SCRIPT.read_text())
    expected = lldb.console("heapcheck --json")
    lldb.console("process status")
    with standing(OVERFLOW) as stood, Lldb(script=script) as debugger:
        debugger.attach(stood.machine.gdb_socket, KERNEL_ELF)
        status = debugger.console("coronel status")
        assert debugger.session("coronel_exit") == 2
        assert "could not check pyelftools: not installed for this Python" in status
        assert "could not check tabulate: not installed for this Python; tables are plainer" in status
        assert "could not check packages: no environment at" in status
        assert "types from docs/spec.md, not verified: the Python package pyelftools is missing" in status
        # Who allocated what is told by addresses alone there: DWARF's lines cannot be read.
        plainer = [
            json.loads(text)["findings"][0] for text in (debugger.console("heapcheck --json"), expected)
        ]
        told = [
            {key: found[key] for key in ("code", "block", "fields", "damage", "repair")} for found in plainer
        ]
        assert told[0] == told[1]
        assert "rw- kernel" in debugger.console("pagewalk")


def test_one_ctrl_c_ends_a_walk_that_would_take_for_ever() -> None:
    """Full tables of full tables: a million pages are looked at, and each is judged."""
    with standing(OVERFLOW) as stood:
        with Gdb() as gdb:
            gdb.attach(stood.machine.gdb_socket, KERNEL_ELF)
            root = poke_tables(gdb, 2, 3, 4, 5)
            gdb.run("disconnect")
        typed = (
            f"command script import {LLDB_SCRIPT}",
            f"target create {KERNEL_ELF}",
            f"process connect unix-connect://{stood.machine.gdb_socket}",
            "script print('ready')",
        )
        terminal = Terminal(
            [LLDB, "-x", "--no-use-colors", *(part for line in typed for part in ("-o", line))]
        )
        try:
            terminal.wait_for("\nready")
            terminal.wait_for("(lldb)")
            terminal.type(f"pagewalk --audit --cr3 {root:#x}")
            terminal.wait_for(f"{root:#x}")
            time.sleep(0.3)
            terminal.interrupt_until("pagewalk: interrupted, nothing was checked")
            terminal.wait_for("(lldb)")
            terminal.type("script print('exit code', coronel_exit)")
            terminal.wait_for("exit code 2")
            terminal.type("heapcheck")
            terminal.wait_for("heapcheck: 1 finding")
        finally:
            terminal.close()
        assert "paused" in stood.machine.monitor("info status")
