"""Two paused processes in GDB: what the commands say of them against the kernel's own fields."""

from collections.abc import Iterator

import pytest

from lab.programs import modules
from lab.stopped import Stopped, at_checkpoint


@pytest.fixture(scope="module")
def paused() -> Iterator[Stopped]:
    """The checkpoint at which both are paused; only read."""
    with at_checkpoint(1, "scenario=processes", extra=modules(["pause alpha", "pause beta"])) as stopped:
        yield stopped


@pytest.mark.parametrize(
    "command",
    [
        "processes",
        "memcheck",
        "frames --ledger",
        "regions",
        "heapcheck --everywhere",
        "heapcheck --process 2",
    ],
)
def test_sound_processes_give_no_finding(paused: Stopped, command: str) -> None:
    report = paused.report(command, 0)
    assert (report["findings"], report["not_checked"]) == ([], [])


def test_the_table_is_what_the_kernel_says(paused: Stopped) -> None:
    rows = paused.report("processes", 0)["tables"][0]["rows"]
    assert [(row["pid"], row["state"]) for row in rows] == [(1, "paused"), (2, "paused")]
    for row, where in zip(rows, ("g_process_list", "g_process_list->next"), strict=True):
        assert row["process at"] == paused.gdb.evaluate(where)
        assert row["cr3"] == paused.gdb.evaluate(f"{where}->memory.page_directory_")


def test_the_heap_of_a_process_is_read_through_its_own_tables(paused: Stopped) -> None:
    report = paused.report("heapcheck --process 2 --blocks", 0)
    blocks = report["tables"][0]["rows"]
    heap = "g_process_list->next->memory.heap_"
    assert len(blocks) == paused.gdb.evaluate(f"{heap}.num_blocks_") == 2
    used = [row["size"] for row in blocks if row["state"] == "used"]
    assert sum(used) == paused.gdb.evaluate(f"{heap}.total_allocated_") == 112


def test_the_ledger_adds_up(paused: Stopped) -> None:
    ledger = paused.report("frames --ledger", 0)["tables"][1]["rows"]
    rows = {(row["owner"], row["who"]): row["frames"] for row in ledger}
    assert rows["residue", ""] == 0
    assert sum(rows.values()) == paused.gdb.evaluate("g_physical_manager->node_count_")
    assert rows["free", "free list"] == paused.gdb.evaluate("g_physical_manager->free_count_")
    pages = {
        f"process {row['pid']} ({row['name']})": row["pages"]
        for row in paused.report("processes", 0)["tables"][0]["rows"]
    }
    assert len(pages) == 2
    for who, count in pages.items():
        assert rows["mapped by a process", who] == count


def test_a_process_that_is_not_there_is_one_line(paused: Stopped) -> None:
    answer = paused.gdb.console("heapcheck --process 9 --json")
    assert "no process has pid 9; there are: 1, 2" in answer
