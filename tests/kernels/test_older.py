"""The kernel of qemu/kernels/older: other layouts, known faults of its statistics, bugs of its own.

The kernel is the judge: it counts its splits and merges apart from its statistics, and notes in `g_truth`
what each of its bugs broke.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from importlib import resources
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from coronel_gdb import profiles
from coronel_gdb.cli import main
from coronel_gdb.layout.symbols import SymbolFile
from coronel_gdb.profiles.resolve import find
from lab.errors import GdbCommandError
from lab.lldb import Lldb
from lab.machine import Machine
from lab.paths import KERNEL_ELF, OLDER_BOOT_ELF, OLDER_ELF
from lab.stopped import BOOT_SECONDS, Stopped, at_checkpoint
from model.types import VirtualAddress

HEADER, USER_HEADER = 40, 24
QUIRK = "statistics wrong, list sound"


@contextmanager
def older(number: int, scenarios: str, seed: int = 3, ops: int = 4000) -> Iterator[Stopped]:
    append = f"scenario={scenarios} seed={seed} ops={ops}"
    with at_checkpoint(number, append, elf=OLDER_ELF, boot_elf=OLDER_BOOT_ELF, memory="32M") as stopped:
        yield stopped


@dataclass(frozen=True)
class Truth:
    """The kernel's own note of its bug."""

    subject: int
    second: int
    culprit: int
    address: int
    length: int
    found: int
    expected: int

    @staticmethod
    def of(stopped: Stopped) -> "Truth":
        return Truth(*(stopped.gdb.evaluate(f"g_truth.{name}") for name in Truth.__dataclass_fields__))


@pytest.fixture(scope="module")
def loaded() -> Iterator[Stopped]:
    """After a healthy load."""
    with older(2, "load") as stopped:
        yield stopped


def on_dump(stopped: Stopped, folder: Path, *words: str) -> dict[str, Any]:
    """The report of the command line on a core of the stopped machine."""
    core = folder / "core"
    assert stopped.machine.monitor(f'dump-guest-memory "{core}"') == ""
    shown = StringIO()
    with redirect_stdout(shown):
        main([*words, "--dump", str(core), "--kernel", str(OLDER_ELF), "--json"])
    core.unlink()
    report: dict[str, Any] = json.loads(shown.getvalue())
    return report


def quirks(report: dict[str, Any]) -> dict[str, str]:
    return {n.removeprefix("quirk "): v for n, v in report["facts"].items() if n.startswith("quirk ")}


def test_each_kernel_gets_its_own_profile(healthy: Stopped, loaded: Stopped) -> None:
    for stopped, name in ((healthy, "coronel"), (loaded, "coronel-older")):
        facts = stopped.report("coronel status", 0)["facts"]
        assert facts["profile"].startswith(f"{name}, types from DWARF of")
    for elf, name in ((KERNEL_ELF, "coronel"), (OLDER_ELF, "coronel-older")):
        symbols = SymbolFile(elf)

        def address(symbol: str, symbols: SymbolFile = symbols) -> VirtualAddress | None:
            found = symbols.find(symbol)
            return None if found is None else VirtualAddress(found.address)

        assert find(address, elf).name == name


@pytest.mark.parametrize(("seed", "ops"), [(3, 4000), (11, 900), (77, 2500), (5, 0)])
def test_a_healthy_load_has_no_finding_and_its_quirks_are_told(seed: int, ops: int) -> None:
    with older(2, "load", seed, ops) as stopped:
        report = stopped.report("memcheck", 0)
        assert report["findings"] == report["not_checked"] == []
        heap = stopped.report("heapcheck", 0)
        tally = {name: stopped.gdb.evaluate(f"g_tally.{name}") for name in ("splits", "merges", "expansions")}
        total_free = stopped.gdb.evaluate("g_kernel_heap->total_free_")
        extra = HEADER * (tally["splits"] - tally["merges"])
        assert f"{tally['expansions']} expansions by its size" in heap["facts"]["heap"]
        told = quirks(heap)
        assert all(line.endswith(QUIRK) for line in told.values())
        there = {"total_free_": extra, "heap_end_": tally["expansions"]}
        assert set(told) == {name for name, amount in there.items() if amount}
        if extra:
            headers = f"{extra // HEADER:+,} headers of {HEADER} bytes"
            assert told["total_free_"].startswith(f"{total_free:#x}, not {total_free - extra:#x}: {headers}")


def test_the_lists_are_told_as_the_kernel_has_them(loaded: Stopped) -> None:
    frames, regions = loaded.report("frames", 0), loaded.report("regions", 0)
    count = loaded.gdb.evaluate("g_physical_manager->free_frames_")
    assert f"{count:,} frames in the list" in frames["facts"]["free"]
    first = loaded.gdb.evaluate("g_physical_manager->last_free_->address")
    assert frames["facts"]["next"].startswith(f"{first:#x} ")
    nodes = deleted = 0
    at = loaded.gdb.evaluate("g_kernel_virtual_manager->free_mem_list_.head_")
    while at:
        nodes += 1
        deleted += loaded.gdb.evaluate(f"((virt::node*){at:#x})->size") == 0
        at = loaded.gdb.evaluate(f"((virt::node*){at:#x})->next")
    assert quirks(regions) == {"regions": f"{deleted} of 0 bytes stand for deleted ones; list sound"}
    assert len(regions["tables"][0]["rows"]) == nodes - deleted


def test_the_user_heap_is_checked_as_well(loaded: Stopped) -> None:
    report = loaded.report("heapcheck --everywhere", 0)
    blocks = loaded.gdb.evaluate("g_user_heap->num_blocks_")
    assert report["facts"]["user heap"].startswith(f"user heap is sound: {blocks} blocks")


def test_the_walk_is_qemus(loaded: Stopped) -> None:
    for expression in ("g_kernel_heap->first_block_", "g_user_heap->first_block_", "&g_truth", "kernel_main"):
        virtual = loaded.gdb.evaluate(f"(unsigned long){expression}")
        walked = loaded.report(f"pagewalk {virtual:#x}", 0)["facts"]
        assert loaded.machine.monitor(f"gva2gpa {virtual:#x}").strip() == f"gpa: {walked['physical']}"
    assert loaded.report("pagewalk --audit", 0)["findings"] == []


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("g_kernel_heap->first_block_", "header (size) of a used block of"),
        ("((char*)g_kernel_heap->first_block_ + 40)", "data of a used block of"),
        ("&g_kernel_heap->total_free_", "object of the kernel heap (total_free_)"),
        ("g_physical_manager->last_free_", "node of free frame"),
        ("g_kernel_virtual_manager->free_mem_list_.head_", "node of a free region"),
        ("&g_user_heap->first_block_->flags", "header (flags) of a used block of"),
        ("&g_truth", "variable g_truth"),
    ],
)
def test_what_an_address_is(loaded: Stopped, expression: str, words: str) -> None:
    assert words in loaded.report(f"coronel whatis {expression}", 0)["summary"]


def test_gdb_prints_its_structures(loaded: Stopped) -> None:
    size = loaded.gdb.evaluate("g_kernel_heap->first_block_->size")
    assert f"used block of {size:,} bytes" in loaded.gdb.console("print *g_kernel_heap->first_block_")
    assert "used block of" in loaded.gdb.console("print *g_user_heap->first_block_")
    assert "free frame 0x" in loaded.gdb.console("print *g_physical_manager->last_free_")
    assert "free region 0x" in loaded.gdb.console("print *g_kernel_virtual_manager->free_mem_list_.head_")
    first = loaded.gdb.evaluate("g_kernel_heap->first_block_")
    inside = f"$heap_block((char*)g_kernel_heap->first_block_ + {HEADER + 1})"
    assert loaded.gdb.evaluate(inside) == first


def test_before_there_is_a_heap_that_is_said() -> None:
    with older(1, "load") as stopped:
        with pytest.raises(GdbCommandError, match="kernel heap not initialised: g_kernel_heap is null"):
            stopped.gdb.console("heapcheck")
        assert stopped.report("frames", 0)["findings"] == []
        report = stopped.report("memcheck", 2)
        absent = {row["what"]: row["why"] for row in report["not_checked"]}
        assert absent["kernel heap"] == "kernel heap not initialised: g_kernel_heap is null"
        assert absent["user heap"] == "user heap not initialised: g_user_heap is null"


def test_an_overflow_names_its_victim_and_its_culprit(tmp_path: Path) -> None:
    with older(3, "load,overflow") as stopped:
        truth = Truth.of(stopped)
        (finding,) = stopped.report("memcheck", 1)["findings"]
        assert (finding["code"], finding["subject"]) == ("HEAP001", truth.subject)
        assert finding["damage"]["start"] == truth.address
        assert finding["damage"]["end"] == truth.address + truth.length
        assert finding["suspect"]["block"] == truth.culprit
        by_field = {field["field"]: field for field in finding["fields"]}
        assert by_field["size"]["found"] == truth.found
        assert by_field["size"]["expected"] == truth.expected
        assert on_dump(stopped, tmp_path, "memcheck")["findings"] == [finding]


def test_both_ends_of_a_broken_link_are_found() -> None:
    with older(3, "load,broken_links") as stopped:
        truth = Truth.of(stopped)
        cycle, link = stopped.report("heapcheck", 1)["findings"]
        assert (cycle["code"], cycle["subject"]) == ("HEAP006", truth.subject)
        (field,) = cycle["fields"]
        assert (field["address"], field["found"], field["expected"]) == (
            truth.address,
            truth.found,
            truth.expected,
        )
        assert (link["code"], link["subject"]) == ("HEAP005", truth.second)
        assert link["fields"][0]["expected"] == truth.subject


def test_statistics_beyond_the_quirk_are_a_finding(tmp_path: Path) -> None:
    with older(3, "load,statistics") as stopped:
        truth = Truth.of(stopped)
        report = stopped.report("memcheck", 1)
        (finding,) = report["findings"]
        assert (finding["code"], finding["subject"]) == ("HEAP008", truth.subject)
        assert (finding["field"], finding["found"]) == ("total_free", truth.found)
        assert finding["expected"] == truth.expected
        assert f"= {truth.expected:#x}" in stopped.gdb.console("heapcheck --verbose")
        assert on_dump(stopped, tmp_path, "memcheck")["findings"] == [finding]


@pytest.mark.parametrize(
    ("field", "change", "value"),
    [
        ("heap_end_", "+ 65536", None),
        ("heap_end_", "+ 8", None),
        ("heap_end_", "* 0", None),
        ("heap_size_", "+ 65536", 0),
        ("heap_size_", "+ 8", 0),
        ("total_free_", "+ 40", 0),
        ("total_free_", "- 40", 0),
    ],
)
def test_a_wrong_field_is_blamed_and_no_other(field: str, change: str, value: int | None) -> None:
    """Quirk or not is told from the other fields: `value` 0 is what it was, None that nobody knows."""
    with older(2, "load") as stopped:
        gdb = stopped.gdb
        before = gdb.evaluate(f"g_kernel_heap->{field}")
        gdb.console(f"set var g_kernel_heap->{field} = g_kernel_heap->{field} {change}")
        report = stopped.report("heapcheck", 1)
        (finding,) = report["findings"]
        assert finding["code"] == "HEAP008"
        assert f"{finding['field']}_" == field
        assert finding["expected"] == (None if value is None else before)
        assert field not in quirks(report)
        assert "the blocks say 0x0" not in gdb.console("heapcheck")


def test_a_frame_that_is_freed_twice() -> None:
    with older(3, "load,frame_twice") as stopped:
        truth = Truth.of(stopped)
        (finding,) = stopped.report("frames", 1)["findings"]
        assert finding["code"] == "FRAME020"
        (place,) = finding["places"]
        assert place["found"] == truth.address
        assert {place["subject"]} < {truth.subject, truth.second}
        assert f"{truth.subject:#x}" in place["because"] or f"{truth.second:#x}" in place["because"]


def test_a_frame_that_is_freed_while_it_is_mapped() -> None:
    with older(3, "load,frame_mapped") as stopped:
        truth = Truth.of(stopped)
        (finding,) = stopped.report("memcheck", 1)["findings"]
        assert (finding["code"], finding["subject"]) == ("FRAME008", truth.address)
        assert f"kernel at {truth.subject:#x}" in finding["lines"][0]


def test_regions_that_overlap() -> None:
    with older(2, "region_overlap") as stopped:
        truth = Truth.of(stopped)
        (finding,) = stopped.report("regions", 1)["findings"]
        assert (finding["code"], finding["subject"]) == ("REGION003", truth.subject)
        (place,) = finding["places"]
        assert place["found"] < truth.address + truth.length
        assert f"{truth.address + truth.length:#x}" in place["because"]


def test_an_overflow_in_the_user_heap(tmp_path: Path) -> None:
    with older(3, "load,user_overflow") as stopped:
        truth = Truth.of(stopped)
        report = stopped.report("memcheck", 1)
        (finding,) = report["findings"]
        assert (finding["code"], finding["subject"]) == ("HEAP001", truth.subject)
        assert finding["damage"]["start"] == truth.address
        assert finding["damage"]["end"] == truth.address + truth.length
        assert finding["suspect"]["block"] == truth.culprit
        assert finding["suspect"]["data"] == truth.culprit + USER_HEADER
        # Whether the block was free stood in the bytes that are gone, so nobody knows the sum.
        assert [row["why"] for row in report["not_checked"]] == ["a block's state is unknown"]
        assert on_dump(stopped, tmp_path, "memcheck")["findings"] == [finding]


def test_a_flag_of_a_user_block_that_contradicts_its_tag() -> None:
    with older(3, "load,user_flag") as stopped:
        truth = Truth.of(stopped)
        (finding,) = stopped.report("memcheck", 1)["findings"]
        assert (finding["code"], finding["subject"]) == ("HEAP003", truth.subject)
        (field,) = finding["fields"]
        assert (field["address"], field["found"]) == (truth.address, truth.found)
        assert field["expected"] == truth.expected


@pytest.mark.parametrize("command", ["memcheck", "heapcheck", "frames", "regions", "processes"])
def test_a_dump_gives_the_same_report(loaded: Stopped, tmp_path: Path, command: str) -> None:
    assert on_dump(loaded, tmp_path, command) == loaded.report(command, 0)


def test_a_small_dump_holds_what_the_checks_need(loaded: Stopped, tmp_path: Path) -> None:
    small = tmp_path / "older.coronel"
    loaded.gdb.console(f"coronel save {small}", 60)
    shown = StringIO()
    with redirect_stdout(shown):
        main(["memcheck", "--dump", str(small), "--json"])
    assert json.loads(shown.getvalue()) == loaded.report("memcheck", 0)


def test_lldb_gives_the_same_report(loaded: Stopped) -> None:
    append = "scenario=load seed=3 ops=4000"
    with Machine(OLDER_BOOT_ELF, append, memory="32M", paused=True) as machine, Lldb() as lldb:
        lldb.attach(machine.gdb_socket, OLDER_ELF)
        for _ in range(2):
            lldb.run_to("coronel_checkpoint", BOOT_SECONDS)
        assert json.loads(lldb.console("memcheck --json")) == loaded.report("memcheck", 0)
        assert json.loads(lldb.console("heapcheck --json")) == loaded.report("heapcheck", 0)


def test_a_snapshot_of_the_same_stop_differs_in_nothing(loaded: Stopped, tmp_path: Path) -> None:
    stop = tmp_path / "stop.snapshot"
    loaded.gdb.console(f"snapshot save {stop}", 60)
    report = loaded.report(f"snapshot diff {stop}", 0)
    assert report["summary"].startswith("all structures are equal"), report
    assert report["not_checked"] == []


def test_its_profile_misses_nothing() -> None:
    older_profile = resources.files(profiles) / "coronel-older.toml"
    with redirect_stdout(StringIO()) as shown:
        assert main(["profile", "check", str(older_profile), "--kernel", str(OLDER_ELF)]) == 0
    assert "nothing" in shown.getvalue().splitlines()[0]


def test_the_first_finding_stops_the_kernel() -> None:
    """The overflow comes after two calls of malloc, and the next bug calls it again."""
    append = "scenario=load,overflow,statistics seed=3 ops=60"
    with at_checkpoint(2, append, elf=OLDER_ELF, boot_elf=OLDER_BOOT_ELF, memory="32M") as stopped:
        stopped.gdb.console("coronel watch-heap --every 1")
        calls = stopped.gdb.evaluate("g_kernel_heap->num_allocations_")
        stopped.gdb.resume()
        stopped.gdb.wait_stopped(BOOT_SECONDS)
        told = stopped.gdb.console("info breakpoints")  # what was said at the stop comes before it
        assert "the heap is damaged at call 3: malloc from " in told
        assert "HEAP001 block header overwritten" in told
        assert stopped.gdb.evaluate("g_kernel_heap->num_allocations_") == calls + 2


def test_what_is_not_described_is_refused(loaded: Stopped) -> None:
    with pytest.raises(GdbCommandError, match=r"kernel with another layout than docs/spec\.md"):
        loaded.gdb.console("coronel layout")
    with pytest.raises(GdbCommandError, match="names no trace"):
        loaded.gdb.console("replay")
