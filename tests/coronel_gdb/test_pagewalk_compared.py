"""`pagewalk --compare` against a monitor that lies about one page, and on a machine without QEMU."""

import re

import pytest

from coronel_gdb.backends.memory_host import MachineTarget
from coronel_gdb.commands.command import Context
from coronel_gdb.errors import TargetError
from coronel_gdb.lift.page_walker import walk_pages
from coronel_gdb.plugins import commands
from coronel_gdb.report import ExitCode, Report
from model.machine import Machine
from model.multiboot import MapEntry
from model.paging import Mapping, Translation, walk_space
from model.types import VirtualAddress

PAGEWALK = {command.name: command for command in commands()}["pagewalk"]


@pytest.fixture(scope="module")
def machine() -> Machine:
    return Machine.boot([MapEntry(0, 0x9FC00), MapEntry(1 << 20, 63 << 20)])


class MonitoredTarget(MachineTarget):
    """The simulated machine with QEMU's words for it; `lie` changes what `info tlb` says."""

    long_answers = True

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


class StubTarget(MonitoredTarget):
    """The same through a stub, which gives no long lists; `lie` is an address and the page QEMU gives it."""

    long_answers = False

    def __init__(self, machine: Machine, lie: tuple[int, int | None] | None = None) -> None:
        super().__init__(machine)
        self._wrong = lie

    def monitor(self, command: str) -> str:
        if not command.startswith("gva2gpa "):
            assert command != "info tlb"
            return super().monitor(command)
        address = int(command.split()[1], 16)
        found: int | None = None
        result = Context(MachineTarget(self._machine)).space.translate(VirtualAddress(address))
        if isinstance(result, Translation):
            found = result.physical
        if self._wrong is not None and address & -4096 == self._wrong[0]:
            found = self._wrong[1]
        # As QEMU writes it: nothing before a zero.
        return "Unmapped" if found is None else f"gpa: {found:#x}" if found else "gpa: 0"


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


def test_through_a_stub_every_page_of_a_large_space_is_asked_about() -> None:
    machine = Machine.boot([MapEntry(0, 0x9FC00), MapEntry(1 << 20, 63 << 20)])
    block = machine.heap.malloc(16 << 20) & -4096
    answer = report(StubTarget(machine), "--compare")
    assert "(gva2gpa) agrees on" in answer.summary
    assert answer.exit_code is ExitCode.CLEAN
    assert answer.checked > 4096
    pages = walk_pages(Context(MachineTarget(machine)).space)
    index = pages.at(block)
    assert index is not None
    behind = pages.starts[index] + pages.size_bytes(index)
    lies = ((block + 0x5000, 0x10_0000), (block + (15 << 20), None), (0xFFFF_FFFF_8010_0000, 0), (behind, 0))
    for page, theirs in lies:
        (finding,) = report(StubTarget(machine, (page, theirs)), "--compare").findings
        assert (finding.code, finding.subject) == ("PAGE010", page)


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
