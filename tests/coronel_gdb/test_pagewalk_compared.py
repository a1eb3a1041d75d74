"""`pagewalk --compare` against a monitor that lies about one page, and on a machine without QEMU."""

import re

import pytest

from coronel_gdb.backends.memory_host import MachineTarget
from coronel_gdb.commands.command import Context
from coronel_gdb.errors import TargetError
from coronel_gdb.plugins import commands
from coronel_gdb.report import ExitCode, Report
from model.machine import Machine
from model.multiboot import MapEntry
from model.paging import Mapping, walk_space

PAGEWALK = {command.name: command for command in commands()}["pagewalk"]


@pytest.fixture(scope="module")
def machine() -> Machine:
    return Machine.boot([MapEntry(0, 0x9FC00), MapEntry(1 << 20, 63 << 20)])


class MonitoredTarget(MachineTarget):
    """The simulated machine with QEMU's words for it; `lie` changes what `info tlb` says."""

    def __init__(self, machine: Machine, lie: tuple[str, str] = ("", "")) -> None:
        super().__init__(machine)
        self._lie = lie

    def monitor(self, command: str) -> str:
        context = Context(MachineTarget(self._machine))
        if command == "info registers":
            return f"CR3={self._machine.cr3:016x}"
        if command.startswith("qom-get"):
            return "Error: not found"
        space = context.space
        lines = []
        for page in walk_space(space.table, space.root, space.mode):
            assert isinstance(page, Mapping)
            nx, large = "X" if page.entry >> 63 else "-", "P" if page.page_bytes > 4096 else "-"
            user, write = "U" if page.entry & 4 else "-", "W" if page.entry & 2 else "-"
            letters = [nx, "-", large, "-", "-", "-", "-", user, write]
            lines.append(f"{page.virtual:016x}: {page.physical:016x} {''.join(letters)}")
        assert command == "info tlb"
        return "\n".join(lines).replace(*self._lie) if self._lie[0] else "\n".join(lines)


def report(target: MachineTarget, line: str) -> Report:
    return PAGEWALK.run(Context(target), PAGEWALK.parse(line.split()))


def test_an_honest_monitor_agrees(machine: Machine) -> None:
    answer = report(MonitoredTarget(machine), "--compare")
    assert answer.exit_code is ExitCode.CLEAN
    assert answer.checked > 100


@pytest.mark.parametrize(
    ("lie", "because"),
    [
        (
            ("ffffffff80100000: 0000000000100000", "ffffffff80100000: 0000000000200000"),
            "in QEMU 0x200000, 4 KiB",
        ),
        (("0000000000100000 ---------", "0000000000100000 --------W"), "W 1 U 0 X 1"),
        (("ffffffff80100000: 0000000000100000", "ffffffff00100000: 0000000000100000"), "in QEMU not mapped"),
    ],
)
def test_every_page_that_differs_is_named(machine: Machine, lie: tuple[str, str], because: str) -> None:
    answer = report(MonitoredTarget(machine, lie), "--compare")
    (finding,) = answer.findings
    assert finding.code == "PAGE010"
    text = "\n".join(finding.lines)
    assert because in text
    assert re.search(r"^0xffffffff[08]0100000 physical is", text, re.M)


def test_words_that_are_not_qemus_are_refused(machine: Machine) -> None:
    with pytest.raises(TargetError, match="says something unexpected"):
        report(MonitoredTarget(machine, ("ffffffff80100000:", "whatever")), "--compare")


def test_without_a_monitor_there_is_nothing_to_compare_with(machine: Machine) -> None:
    with pytest.raises(TargetError, match="no QEMU monitor"):
        report(MachineTarget(machine), "--compare")


@pytest.mark.parametrize("line", ["--audit", "--audit --every-process", "--fold", "--find-physical 0x100000"])
def test_a_simulated_machine_is_walked_like_a_real_one(machine: Machine, line: str) -> None:
    answer = report(MachineTarget(machine), line)
    assert answer.findings == []
    assert answer.exit_code is ExitCode.CLEAN
