"""`replay` on kernels with processes: what they asked, what they have, and what is theirs to write."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from lab.programs import modules
from lab.stopped import Stopped, at_checkpoint
from tests.gdb.replaying import performed, poked


@pytest.fixture(scope="module")
def processes() -> Iterator[Stopped]:
    """Two live processes, paused; one has mappings of its own, one has ended."""
    lines = modules(["leave", "pause x", "churn", "pause y"])
    with at_checkpoint(1, "scenario=processes trace=65536", extra=lines) as stopped:
        assert stopped.gdb.evaluate("g_process_list->next != 0")
        yield stopped


def test_live_processes_replay_to_equal_objects_tables_and_heaps(processes: Stopped) -> None:
    report = processes.report("replay", 0)
    compared = report["facts"]["compared"]
    # A process has a PML4, a PDPT, PDs and PTs of its own.
    assert int(compared.split(" page table")[0].split()[-1]) >= 8 + 2 * 4
    assert "2 processes" in compared
    assert "user heap header" in compared
    assert "mmap node" in compared
    assert report["not_checked"] == []
    # Nothing was replaced by its parts: the calls of the processes are operations like all others.
    assert performed(report) > 300


@pytest.mark.parametrize(
    ("place", "noun", "field"),
    [
        ("g_process_list->memory.code_end_", "process", "memory.code_end_"),
        ("g_process_list->memory.stack_start_", "process", "memory.stack_start_"),
        ("g_process_list->memory.heap_.total_allocated_", "process", "memory.heap_.total_allocated_"),
        ("g_process_list->memory.mmap_.errors_[2]", "process", "memory.mmap_.errors_[2]"),
        ("g_process_list->next->pid", "process", "pid"),
        ("g_process_list->memory.mmap_.free_mem_list_.first_->size", "mmap node", "size"),
    ],
)
def test_a_change_of_a_process_that_no_operation_explains(
    processes: Stopped, place: str, noun: str, field: str
) -> None:
    with poked(processes.gdb, place, processes.gdb.evaluate(f"(unsigned long){place}") ^ 8):
        (finding,) = processes.report("replay", 1)["findings"]
    assert (finding["code"], finding["structure"]) == ("TRACE002", noun)
    assert [changed["field"] for changed in finding["fields"]] == [field]


@pytest.mark.parametrize("page", [0x40_0000, 0x800_0000, 0x7FFF_F000])
def test_the_rights_of_a_user_page_are_compared(processes: Stopped, page: int) -> None:
    """Code that is writable, data and a stack that are not: bit 1 of the PTE."""
    walk = processes.report(f"pagewalk --process {pid(processes)} {page:#x}", 0)
    entry = walk["tables"][0]["rows"][-1]
    address, value = entry["entry at"], entry["entry"]
    with physical_poked(processes, address, value, value ^ 2):
        (finding,) = processes.report("replay", 1)["findings"]
    assert finding["structure"] == "page table"
    assert finding["damage"]["start"] == address
    assert processes.report("replay", 0)["findings"] == []


def size(stopped: Stopped) -> int:
    """The size of the first block of its heap."""
    (table,) = stopped.report(f"heapcheck --process {pid(stopped)} --blocks", 0)["tables"]
    return int(table["rows"][0]["size"])


def pid(stopped: Stopped) -> int:
    """The first process."""
    return stopped.gdb.evaluate("g_process_list->pid")


@contextmanager
def physical_poked(stopped: Stopped, address: int, before: int, value: int) -> Iterator[None]:
    """Another word in physical memory inside the block."""

    def write(word: int) -> None:
        stopped.gdb.run("maintenance packet Qqemu.PhyMemMode:1")
        stopped.gdb.mi(f"-data-write-memory-bytes {address:#x} {word.to_bytes(8, 'little').hex()}")
        stopped.gdb.run("maintenance packet Qqemu.PhyMemMode:0")

    write(value)
    try:
        yield
    finally:
        write(before)


def test_a_process_that_smashes_its_heap_is_not_the_kernels_fault() -> None:
    """No finding, but not healthy either: from its first odd call on its heap is not judged."""
    lines = modules(["smash", "churn"])
    with at_checkpoint(1, "scenario=processes trace=65536", extra=lines) as stopped:
        report = stopped.report("replay", 2)
    assert report["findings"] == []
    assert "memory equal" in report["summary"]
    heap, results = report["not_checked"]
    assert heap["what"] == "heap of process 1"
    assert "sys_" in heap["why"]
    assert "a process can write its own headers" in heap["why"]
    assert "sys_malloc" in results["what"]


def test_headers_that_differ_now_are_the_processs_own_doing(processes: Stopped) -> None:
    gdb = processes.gdb
    first = gdb.evaluate("g_process_list->memory.heap_.first_block_")
    walk = processes.report(f"pagewalk --process {pid(processes)} {first:#x}", 0)
    with physical_poked(processes, int(walk["facts"]["physical"], 16), size(processes), 0x30):
        report = processes.report("replay", 2)
    assert report["findings"] == []
    (row,) = report["not_checked"]
    assert "1 header is not what its calls left" in row["why"]


@pytest.mark.parametrize(
    ("checkpoint", "line", "lines", "memory"),
    [
        # Managers of processes driven by the kernel, and many processes that come and go.
        (2, "scenario=mmap_churn,many_processes ops=60 trace=65536", ["leave"], "128M"),
        # Every call with good and bad arguments, the frames used up twice.
        (1, "scenario=processes trace=65536", ["all_calls one", "leave"], "32M"),
    ],
)
def test_healthy_scenarios_of_processes(checkpoint: int, line: str, lines: list[str], memory: str) -> None:
    with at_checkpoint(checkpoint, line, extra=modules(lines), memory=memory) as stopped:
        report = stopped.report("replay", 0)
    assert "memory equal" in report["summary"]
    assert performed(report) > 50
