"""What one host writes every other host reads: kept stops, small dumps, kept address spaces."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from coronel_gdb.lift.stop_file import load
from coronel_gdb.plugins import command_line_only, commands
from lab.gdbmi import Gdb
from lab.lldb import Lldb
from lab.paths import GDB_SCRIPT
from lab.scenarios import Scenario
from lab.stopped import MIXED_THEN_OVERFLOW
from tests.conformance.hosts import DUMPS, LIVE, PROVENANCE, Host, OnCommandLine
from tests.conformance.stops import Standing, Stop, standing

OVERFLOW = Stop("overflow", Scenario("overflow", MIXED_THEN_OVERFLOW), arrival=2)
FIRST = next(iter(LIVE))
TRIED = {("snapshot", "file"), ("save", "file"), ("pagewalk", "--save"), ("pagewalk", "--diff")}
"""Every command and option that takes a file: what is not here is tried nowhere."""


def test_everything_that_takes_a_file_is_tried_here() -> None:
    takes = {
        (command.name, option.name) for command in commands() for option in command.options if option.is_file
    }
    assert takes == TRIED


def test_what_is_not_on_every_host_is_known() -> None:
    """`watch-heap` stops at calls of the kernel, `report` is for people without a debugger."""
    with Gdb(script=GDB_SCRIPT) as gdb, Lldb() as lldb:
        everywhere = {command.name for command in commands()}
        listed = {
            line.removeprefix("coronel ").split()[0] for line in gdb.console("coronel").splitlines()[:-1]
        }
        assert listed - everywhere == {"watch-heap"}
        assert set(lldb.complete("coronel ")) == everywhere
        assert [command.name for command in command_line_only()] == ["report"]


@pytest.fixture(scope="module")
def stood() -> Iterator[Standing]:
    with standing(OVERFLOW) as stood:
        before = stood.state()
        yield stood
        assert stood.state() == before, "a host has changed the machine"


def each(stood: Standing) -> Iterator[tuple[str, Host]]:
    """One host after the other; what the first wrote is there when the others come."""
    for name, opened in (LIVE | DUMPS).items():
        with opened(stood.machine) as host:
            yield name, host


def test_a_kept_stop(stood: Standing, tmp_path: Path) -> None:
    first = tmp_path / FIRST
    for name, host in each(stood):
        own = tmp_path / name
        saved = host.ask(f"snapshot save '{own}' --json").report
        assert saved["exit_code"] == 0, (name, saved)
        kept, expected = load(own), load(first)
        assert (kept.kernel, kept.runs, kept.blank) == (expected.kernel, expected.runs, expected.blank), name
        answer = host.ask(f"snapshot diff '{first}' --json").report
        assert answer["summary"] == "nothing changed: no operation, and all structures are equal", (
            name,
            answer,
        )
        assert answer["exit_code"] == 0
        assert "1 structure with bytes that no operation explains" in answer["facts"]["before"]


def test_a_small_dump(stood: Standing, tmp_path: Path) -> None:
    reports = {}
    for name, host in each(stood):
        own = tmp_path / f"{name}.coronel"
        saved = host.ask(f"coronel save '{own}' --json").report
        assert saved["exit_code"] == 0, (name, saved)
        small = OnCommandLine(("--dump", str(own)))
        reports[name] = [judged(small, line) for line in ("memcheck", "pagewalk", "replay")]
    assert [found["code"] for found in reports[FIRST][0]["findings"]] == ["HEAP001"]
    for name, report in reports.items():
        assert report == reports[FIRST], name


def judged(host: Host, line: str) -> Mapping[str, Any]:
    """A report without where it comes from."""
    report = host.ask(f"{line} --json").report
    return {**report, "facts": {key: fact for key, fact in report["facts"].items() if key not in PROVENANCE}}


def test_a_kept_address_space(stood: Standing, tmp_path: Path) -> None:
    first = tmp_path / FIRST
    for name, host in each(stood):
        own = tmp_path / name
        assert host.ask(f"pagewalk --save '{own}' --json").report["exit_code"] == 0, name
        assert json.loads(own.read_text()) == json.loads(first.read_text()), name
        answer = host.ask(f"pagewalk --diff '{first}' --json").report
        assert (answer["summary"], answer["exit_code"]) == ("no difference", 0), name
