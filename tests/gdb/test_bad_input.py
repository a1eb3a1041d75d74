"""Bad input: one clear line and exit code 2, never a traceback, never a hang."""

import json
import re
from collections.abc import Iterator

import pytest

from lab.errors import GdbCommandError
from lab.gdbmi import Gdb
from lab.machine import Machine
from lab.paths import BOOT_ELF, GDB_SCRIPT, KERNEL_ELF
from lab.stopped import BOOT_SECONDS, Stopped, at_checkpoint

CHECKS = ["heapcheck", "frames", "regions", "pagewalk"]


def refusal(gdb: Gdb, command: str) -> str:
    """The one line with which a command refuses; the same with --json, and exit code 2."""
    with pytest.raises(GdbCommandError) as caught:
        gdb.run(command)
    assert "Traceback" not in caught.value.message + caught.value.log
    assert gdb.evaluate("$coronel_exit") == 2
    answer = json.loads(gdb.console(f"{command} --json"))
    assert answer["exit_code"] == 2
    assert answer["error"] in caught.value.message
    assert "\n" not in answer["error"]
    return str(answer["error"])


@pytest.fixture(scope="module")
def bare() -> Iterator[Gdb]:
    with Gdb(script=GDB_SCRIPT) as gdb:
        yield gdb


@pytest.mark.parametrize("command", ["heapcheck", "frames", "regions"])
def test_no_kernel_loaded(bare: Gdb, command: str) -> None:
    assert "no kernel loaded" in refusal(bare, command)


def test_no_target(bare: Gdb) -> None:
    assert "no target" in refusal(bare, "pagewalk 0x1000")
    with Gdb(script=GDB_SCRIPT) as gdb:
        gdb.mi(f"-file-exec-and-symbols {KERNEL_ELF}")
        for command in CHECKS:
            assert "no target" in refusal(gdb, command)


def test_a_program_that_is_no_such_kernel(bare: Gdb) -> None:
    with Gdb(script=GDB_SCRIPT) as gdb:
        gdb.mi("-file-exec-and-symbols /bin/true")
        assert "no profile fits this kernel's symbols" in refusal(gdb, "heapcheck")


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("heapcheck --nonsense", "unrecognized arguments: --nonsense"),
        ("pagewalk --cr3", "expected one argument"),
        ("frames 12", "unrecognized arguments: 12"),
        ("pagewalk 'unclosed", "cannot split"),
    ],
)
def test_wrong_options(bare: Gdb, command: str, message: str) -> None:
    with pytest.raises(GdbCommandError, match=re.escape(message)):
        bare.run(command)


def test_an_unknown_command_names_the_known_ones(bare: Gdb) -> None:
    with pytest.raises(
        GdbCommandError,
        match=r"no command heapchek.*memcheck, heapcheck, pagewalk, .*, processes, layout, replay",
    ):
        bare.run("coronel heapchek")


def test_before_paging_and_before_the_heap_exists() -> None:
    with Machine(BOOT_ELF, "scenario=boot", paused=True) as machine, Gdb(script=GDB_SCRIPT) as gdb:
        gdb.attach(machine.gdb_socket, KERNEL_ELF)
        for command in CHECKS:
            assert "no 64-bit paging yet (paging off, real mode" in refusal(gdb, command)
        gdb.run_to("memory::initialize_memory", BOOT_SECONDS)
        assert "kernel heap not initialised: g_kernel_heap is null" in refusal(gdb, "heapcheck")
        assert "physical manager not initialised: g_physical_manager is null" in refusal(gdb, "frames")
        assert "virtual manager not initialised" in refusal(gdb, "regions")
        # The early map is there already, and it is walked.
        (table,) = json.loads(gdb.console("pagewalk --json"))["tables"]
        assert {row["page size"] for row in table["rows"]} == {"2 MiB"}
        # It is writable, executable and there at null: an audit must say so.
        early = json.loads(gdb.console("pagewalk --audit --json"))
        assert {finding["code"] for finding in early["findings"]} == {"PAGE001", "PAGE003"}
        gdb.run_to("coronel_checkpoint", BOOT_SECONDS)
        report = json.loads(gdb.console("heapcheck --json"))
        assert report["exit_code"] == 0
        assert "0 blocks" in report["summary"]


def test_running_target() -> None:
    options = {"script": GDB_SCRIPT, "asynchronous": True}
    with Machine(BOOT_ELF, "scenario=boot", paused=True) as machine, Gdb(**options) as gdb:  # type: ignore[arg-type]
        gdb.attach(machine.gdb_socket, KERNEL_ELF)
        gdb.run_to("coronel_checkpoint", BOOT_SECONDS)
        gdb.resume()
        for command in CHECKS:
            assert "the target is running" in refusal(gdb, command)
        gdb.interrupt()
        assert json.loads(gdb.console("heapcheck --json"))["exit_code"] == 0


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("0x0000800000000000", "not canonical (#GP)"),
        ("0xffff7fffffffffff", "not canonical (#GP)"),
        ("0x1000", "not mapped: its PML4E 0x0 is not present"),
        ("0xffffffff80325000", "not mapped: its PTE 0x0 is not present"),
    ],
)
def test_addresses_without_a_page(healthy: Stopped, address: str, message: str) -> None:
    report = healthy.report(f"pagewalk {address}", 0)
    assert message in report["summary"]


@pytest.mark.parametrize("expression", ["no_such_symbol", "1 +", "*(long *)0", "-1 - 2 +"])
def test_an_expression_that_does_not_evaluate(healthy: Stopped, expression: str) -> None:
    assert "cannot evaluate" in refusal(healthy.gdb, f"pagewalk {expression}")


def test_a_top_table_outside_ram(healthy: Stopped) -> None:
    report = healthy.report("pagewalk --cr3 0xfff000000", 2)
    assert "cannot be read" in report["not_checked"][0]["why"]
    report = healthy.report("pagewalk --cr3 0xfff000000 0x1000", 2)
    assert "the table that holds its PML4E cannot be read" in report["summary"]


@pytest.fixture
def victim() -> Iterator[Stopped]:
    """A kernel of its own for a test that pokes its memory."""
    with at_checkpoint(1, "scenario=mixed seed=7 ops=500") as stopped:
        yield stopped


def test_smashed_and_cyclic_block_lists(victim: Stopped) -> None:
    gdb = victim.gdb
    heap = "g_kernel_heap"
    gdb.run(f"set $third = {heap}->first_block_->next->next")
    third = gdb.evaluate("$third")
    saved = gdb.evaluate("$third->next")

    gdb.run(f"set var $third->next = {heap}->first_block_")
    (finding,) = victim.report("heapcheck", 1)["findings"]
    assert (finding["code"], finding["subject"]) == ("HEAP006", third)
    assert finding["fields"][0]["expected"] == saved

    for wild in (0, 0x4141414141414141, 0xFFFF800000001234, saved + 8, 0xFFFFFFFFFFFFFFF0):
        gdb.run(f"set var $third->next = (memory::heap_block *){wild:#x}")
        (finding,) = victim.report("heapcheck", 1)["findings"]
        assert (finding["code"], finding["subject"]) == ("HEAP005", third)
        assert finding["fields"][0]["expected"] == saved
    gdb.run(f"set var $third->next = (memory::heap_block *){saved:#x}")
    assert victim.report("heapcheck", 0)["findings"] == []


def test_smashed_and_cyclic_frame_lists(victim: Stopped) -> None:
    gdb = victim.gdb
    gdb.run("set $node = g_physical_manager->free_list_->previous")
    node, saved = gdb.evaluate("$node"), gdb.evaluate("$node->previous")
    for wild, code in ((node, "FRAME004"), (0xFFFF800000001234, "FRAME007"), (0x41, "FRAME007")):
        gdb.run(f"set var $node->previous = (physical::frame *){wild:#x}")
        report = victim.report("frames", 1)
        assert [(f["code"], f["subject"]) for f in report["findings"]] == [(code, node)]
    gdb.run(f"set var $node->previous = (physical::frame *){saved:#x}")
    gdb.run("set var g_physical_manager->free_count_ = g_physical_manager->free_count_ + 1")
    (finding,) = victim.report("frames", 1)["findings"]
    assert finding["code"] == "FRAME005"


def test_smashed_and_cyclic_region_lists(victim: Stopped) -> None:
    gdb = victim.gdb
    gdb.run("set $first = g_kernel_virtual_manager->free_mem_list_.first_")
    first, saved = gdb.evaluate("$first"), gdb.evaluate("$first->next")
    for wild in (first, 0x41, 0xFFFF800000001234):
        gdb.run(f"set var $first->next = (virt::node *){wild:#x}")
        report = victim.report("regions", 1)
        assert [(f["code"], f["subject"]) for f in report["findings"]] == [("REGION004", first)]
    gdb.run(f"set var $first->next = (virt::node *){saved:#x}")
    gdb.run("set var g_kernel_virtual_manager->free_mem_list_.count_ = 7")
    (finding,) = victim.report("regions", 1)["findings"]
    assert finding["code"] == "REGION005"


def test_garbage_pointers_and_bounds_are_reported_not_followed_for_ever(victim: Stopped) -> None:
    gdb = victim.gdb
    gdb.run("set $end = g_kernel_heap->heap_end_")
    for wild in (0, 0xFFFFFFFFFFFFFFFF, 0x1000):
        gdb.run(f"set var g_kernel_heap->heap_end_ = {wild:#x}")
        report = json.loads(gdb.console("heapcheck --json", 60))
        assert report["exit_code"] in (1, 2)
    gdb.run("set var g_kernel_heap->heap_end_ = $end")
    gdb.run("set var g_kernel_heap = (memory::heap *)0x1000")
    assert "cannot read 120 bytes at virtual address 0x1000: not mapped" in refusal(gdb, "heapcheck")
    gdb.run("set var g_kernel_heap = (memory::heap *)0")
    assert "kernel heap not initialised" in refusal(gdb, "heapcheck")
    gdb.run("set var g_physical_manager->node_count_ = 0xffffffffffff")
    assert "no machine has so many frames" in refusal(gdb, "frames")


def test_a_lock_that_is_held_means_busy_not_corrupt(victim: Stopped) -> None:
    victim.gdb.run("set var g_kernel_heap->lock_.locked_ = 1")
    report = victim.report("heapcheck", 2)
    assert "busy" in report["summary"]
    assert report["findings"] == []


def poke_tables(gdb: Gdb, *entries: int) -> int:
    """Fill the free frames from the lowest on, each with 512 equal entries; the address of the first."""
    root = gdb.evaluate("*(unsigned long *)&g_physical_manager->free_list_->address")
    gdb.run("maintenance packet Qqemu.PhyMemMode:1")
    for number, entry in enumerate(entries):
        word = (entry and root + 4096 * (entry - 1) | 3).to_bytes(8, "little").hex()
        gdb.mi(f"-data-write-memory-bytes {root + 4096 * number:#x} {word} 4096")
    gdb.run("maintenance packet Qqemu.PhyMemMode:0")
    return root


def test_a_table_of_self_maps_is_said_at_once(victim: Stopped) -> None:
    """A top table whose entries all refer to itself: 512^4 pages."""
    root = poke_tables(victim.gdb, 1)
    report = victim.report(f"pagewalk --cr3 {root:#x}", 0)
    assert report["facts"]["self-maps"].startswith("512,")
    row = report["tables"][1]["rows"][1]
    assert (row["start"], row["entry at"], row["table"]) == (1 << 39, root + 8, root)
    # Followed all the same to look for a page, and bounded.
    report = victim.report(f"pagewalk --cr3 {root:#x} --find-physical {root + 4096:#x}", 2)
    assert report["tables"][0]["rows"] == []
    assert any("stopped after" in absent["why"] for absent in report["not_checked"])


def test_tables_that_lead_to_nothing_a_million_times_end_at_once(victim: Stopped) -> None:
    """Three full tables above an empty one: 512^3 ways to it."""
    root = poke_tables(victim.gdb, 2, 3, 4, 0)
    report = victim.report(f"pagewalk --cr3 {root:#x}", 0)
    assert report["summary"].startswith("0 pages in 0 ranges")
    assert victim.report("heapcheck", 0)["findings"] == []
