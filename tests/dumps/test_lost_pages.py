"""Pages that a dump has lost: a gap that is said, for every scheme of a structure, and never a finding.

The judge is the kernel: nothing is damaged, or just what its own bug did. Pages that a check reads are left
out, one at a time and several.
"""

import json
import random
from collections.abc import Callable, Iterable, Set
from pathlib import Path
from typing import Any

import pytest

from coronel_gdb.backends.dump_host import DumpTarget
from coronel_gdb.cli import main
from coronel_gdb.commands.command import Command, Context
from coronel_gdb.commands.frames import COMMAND as FRAMES
from coronel_gdb.commands.heapcheck import COMMAND as HEAPCHECK
from coronel_gdb.commands.memcheck import COMMAND as MEMCHECK
from coronel_gdb.errors import CoronelError, ReadFault
from coronel_gdb.lift.recorded import RecordedTarget
from coronel_gdb.lift.relayed import RelayedTarget
from coronel_gdb.protocols import PhysicalMemory
from coronel_gdb.report import Report
from lab.paths import KERNEL_ELF, OLDER_BOOT_ELF, OLDER_ELF
from lab.programs import modules
from lab.stopped import BOOT_SECONDS, Stopped, at_checkpoint
from model.types import PhysicalAddress
from tests.dumps.writers import PAGE, elf_core, qemu_note
from tests.kernels.told import LOADED, STRUCK, at, elf

MOST = 40
"""Pages that are left out of one stop: all that the checks read would take minutes."""


class Holed:
    """`PhysicalMemory` without some pages."""

    def __init__(self, below: PhysicalMemory, lost: Set[int]) -> None:
        self._below, self._lost = below, lost
        self.describe = below.describe

    def read(self, address: PhysicalAddress, size_bytes: int) -> bytes:
        for page in range(address // PAGE, -(-(address + size_bytes) // PAGE)):
            if page in self._lost:
                raise ReadFault("physical", max(address, page * PAGE), size_bytes, "excluded from the dump")
        return self._below.read(address, size_bytes)


class Kept:
    """A stop kept as a dump, and the pages that a command reads of it."""

    def __init__(self, path: Path, kernel: Path, command: Command, *words: str) -> None:
        self.path, self.kernel = path, kernel
        self.target = DumpTarget(path, kernel)
        self.command, self.words = command, list(words)
        recorded = RecordedTarget(self.target, None)
        self.whole = self.run(Context(recorded))
        self.pages = sorted(recorded.memory.pages)

    def run(self, context: Context) -> Report:
        return self.command.run(context, self.command.parse(self.words))

    def without(self, lost: Set[int]) -> Report | None:
        """The report on the dump without those pages; None when nothing can be checked at all."""
        try:
            return self.run(Context(RelayedTarget(self.target, Holed(self.target.memory, lost), None)))
        except CoronelError:
            return None

    def judged(self, choices: Iterable[Set[int]]) -> list[Report]:
        """The reports: each tells of the gap, and finds nothing that is not in the whole dump."""
        known = {finding.code for finding in self.whole.findings}
        reports = []
        for lost in choices:
            report = self.without(lost)
            if report is not None:
                assert {finding.code for finding in report.findings} <= known, lost
                assert report.not_checked, lost
                reports.append(report)
        return reports

    def one_by_one(self) -> list[Set[int]]:
        return [{page} for page in self.pages[:: len(self.pages) // MOST + 1]]

    def several(self) -> list[Set[int]]:
        drawn = random.Random(7)
        # What comes last is mostly the unused rest of a heap.
        pages = self.pages[: len(self.pages) // 2]
        return [set(drawn.sample(pages, drawn.randrange(2, 7))) for _ in range(15)]


def dumped(stopped: Stopped, path: Path) -> Path:
    assert stopped.machine.monitor(f'dump-guest-memory "{path}"') == ""
    return path


def tags(path: Path) -> Kept:
    with at("tags", "seed=3 ops=3000", LOADED) as stopped:
        return Kept(dumped(stopped, path), elf("tags"), HEAPCHECK)


def runs(path: Path) -> Kept:
    with at("runs", "seed=8 ops=700", LOADED) as stopped:
        return Kept(dumped(stopped, path), elf("runs"), FRAMES)


def older(path: Path) -> Kept:
    append = "scenario=load seed=3 ops=4000"
    with at_checkpoint(2, append, elf=OLDER_ELF, boot_elf=OLDER_BOOT_ELF, memory="32M") as stopped:
        return Kept(dumped(stopped, path), OLDER_ELF, MEMCHECK)


def mixed(path: Path) -> Kept:
    with at_checkpoint(1, "scenario=mixed seed=42 ops=2000", memory="32M") as stopped:
        return Kept(dumped(stopped, path), KERNEL_ELF, MEMCHECK)


def in_a_process(path: Path) -> Kept:
    options: dict[str, Any] = {"memory": "32M", "extra": modules(["pause a", "pause b"])}
    with at_checkpoint(1, "scenario=processes", **options) as stopped:
        stopped.gdb.run_to("sys_write", BOOT_SECONDS)
        return Kept(dumped(stopped, path), KERNEL_ELF, MEMCHECK)


@pytest.mark.parametrize("stop", [tags, runs, older, mixed, in_a_process])
def test_a_sound_kernel_stays_without_findings(stop: Callable[[Path], Kept], tmp_path: Path) -> None:
    kept = stop(tmp_path / "dump")
    assert kept.whole.findings == []
    for choices in (kept.one_by_one(), kept.several()):
        assert len(kept.judged(choices)) > len(choices) // 2


def test_the_bug_is_still_found_beside_a_gap(tmp_path: Path) -> None:
    with at("tags", "bug=overflow seed=5 ops=1500", STRUCK) as stopped:
        kept = Kept(dumped(stopped, tmp_path / "dump"), elf("tags"), HEAPCHECK)
    (finding,) = kept.whole.findings
    reports = kept.judged(kept.one_by_one())
    named = [report for report in reports if finding.subject in [one.subject for one in report.findings]]
    assert len(named) > 0.9 * len(reports)


def test_a_core_with_a_hole_in_the_arena(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kept = tags(tmp_path / "dump")
    size = max(end for _, end in kept.target.dump.memory.ranges() if end < 1 << 31)
    memory = kept.target.memory.read(PhysicalAddress(0), size)
    hole = kept.target.evaluate("&memory") % (1 << 31) + 2 * PAGE
    end = hole + PAGE
    parts = [(0, memory[:hole], hole), (hole, b"", PAGE), (end, memory[end:], size - end)]
    core = elf_core(
        [(start, start, data, length) for start, data, length in parts],
        qemu_note(kept.target.dump.cpus[0].registers),
    )
    (tmp_path / "core").write_bytes(core)
    words = ["heapcheck", "--dump", str(tmp_path / "core"), "--kernel", str(kept.kernel)]
    assert main(words) == 2
    shown = capsys.readouterr().out
    assert f"frame {hole:#x}: excluded from the dump" in shown
    assert main([*words, "--json"]) == 2
    assert json.loads(capsys.readouterr().out)["findings"] == []
    small = tmp_path / "small"
    assert main(["save", str(small), *words[1:]]) == 0
    assert "heapcheck: no finding as far as checked" in capsys.readouterr().out
    assert main(["heapcheck", "--dump", str(small)]) == 2
    assert capsys.readouterr().out.splitlines()[0] == shown.splitlines()[0]
