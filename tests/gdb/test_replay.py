"""`replay` on real kernels: what they did, what they noted about their own bugs, and bytes poked by GDB."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from lab.errors import GdbCommandError
from lab.functions import function_at
from lab.gdbmi import Gdb
from lab.programs import modules
from lab.scenarios import scenarios
from lab.stopped import BOOT_SECONDS, Stopped, at_checkpoint

HEADER = 48
RECORD = 64


def codes(report: dict[str, Any]) -> list[str]:
    return [finding["code"] for finding in report["findings"]]


def performed(report: dict[str, Any]) -> int:
    return int(report["facts"]["operations"].split()[0].replace(",", ""))


def test_healthy_scenarios_replay_to_equal_memory() -> None:
    line = "scenario=mixed,rapid,mmap_churn,out_of_memory seed=42 ops=100 trace=65536"
    modules = scenarios()["mmap_churn"].extra
    with at_checkpoint(2, line, extra=modules, memory="48M") as stopped:
        early = stopped.report("replay", 0)
        for _ in range(2):
            stopped.gdb.run_to("coronel_checkpoint", BOOT_SECONDS)
        late = stopped.report("replay", 0)
        roots = stopped.gdb.evaluate("g_trace.next_")
        refused = stopped.gdb.evaluate("g_kernel_heap->errors_[0]")
    for report in (early, late):
        assert "memory equal" in report["summary"]
        assert report["findings"] == report["not_checked"] == []
    assert performed(early) > 2500
    assert performed(late) > performed(early) + 1000
    assert roots > performed(late)
    # The undo of expansions that ran out of frames is part of it, operation by operation.
    assert refused > 0


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


def test_two_cpus_replay_to_equal_memory() -> None:
    with at_checkpoint(1, "scenario=smp seed=3 ops=1000 trace=65536", cpus=2) as stopped:
        assert "memory equal" in stopped.report("replay", 0)["summary"]


def test_each_bug_is_named_by_its_own_finding() -> None:
    """Misuses are refused and damage nothing; the overflow comes last, and the kernel noted what it broke."""
    with at_checkpoint(4, "scenario=double_free,frame_double_free,leak,overflow seed=5") as stopped:
        gdb = stopped.gdb
        report = stopped.report("replay", 1)
        truth = {name: gdb.evaluate(f"g_seeded_fault.{name}") for name in ("victim", "culprit", "length")}
        start = gdb.evaluate("g_seeded_fault.address")
        written = bytes(
            gdb.evaluate(f"(unsigned char)g_seeded_fault.written[{i}]") for i in range(truth["length"])
        )
        text = gdb.console("replay")
    damage, block, frame = report["findings"]
    assert codes(report) == ["TRACE002", "TRACE005", "TRACE005"]
    assert damage["subject"] == truth["victim"]
    assert damage["suspect"] == truth["culprit"]
    assert (damage["damage"]["start"], damage["damage"]["end"]) == (start, start + truth["length"])
    assert bytes.fromhex(damage["damage"]["bytes"]) == written
    assert damage["after"] is not None
    assert damage["before"] is None
    assert block["kind"] == frame["kind"] == "double free"
    assert "close" in block["caller"]
    assert "scenarios/double_free.cpp:" in block["caller"]
    assert len(block["earlier"]) == 2
    assert "scenarios/frame_double_free.cpp:" in frame["caller"]
    assert "bytes that no operation explains" in text
    assert "linear overflow out of block" in text


def test_a_frame_that_is_freed_and_mapped_is_named() -> None:
    with at_checkpoint(1, "scenario=frame_free_mapped") as stopped:
        (finding,) = stopped.report("replay", 1)["findings"]
        node = stopped.gdb.evaluate("g_seeded_fault.victim")
        assert finding["code"] == "TRACE006"
        assert finding["frame"] == stopped.gdb.evaluate(f"((physical::frame *){node})->address")
        assert "scenarios/frame_free_mapped.cpp:" in finding["caller"]


def test_damage_and_the_first_operation_that_it_breaks() -> None:
    """After the overflow the heap refuses what it should give: both are said, and what lies between."""
    with at_checkpoint(1, "scenario=overflow,mixed seed=5 ops=60") as stopped:
        gdb = stopped.gdb
        before = gdb.evaluate("g_trace.next_")
        victim = gdb.evaluate("g_seeded_fault.victim")
        gdb.run_to("coronel_checkpoint", BOOT_SECONDS)
        first = gdb.evaluate(f"((coronel::trace_record *)g_trace.ring_)[{before}].result")
        report = stopped.report("replay", 1)
    divergent, *damages = report["findings"]
    assert first == 0
    assert divergent["code"] == "TRACE001"
    assert (divergent["sequence"], divergent["kernel"]) == (before, 0)
    assert divergent["model"] > victim
    assert "coronel::run_mixed" in divergent["caller"]
    (damage,) = damages
    assert damage["subject"] == victim
    assert damage["after"] < before == damage["before"]
    assert "operations for corruption" in report["facts"]["refused"]


def test_another_order_of_frames_is_a_divergent_nested_operation() -> None:
    """GDB takes the first frame out of the list; the model does not know and expects it."""
    with at_checkpoint(1, "scenario=boot,mixed seed=5 ops=60") as stopped:
        gdb = stopped.gdb
        expected = gdb.evaluate("g_physical_manager->free_list_->address")
        gdb.run("set var g_physical_manager->free_list_ = g_physical_manager->free_list_->previous")
        actual = gdb.evaluate("g_physical_manager->free_list_->address")
        gdb.run_to("coronel_checkpoint", BOOT_SECONDS)
        report = stopped.report("replay --minimize", 1)
    (finding,) = report["findings"]
    assert finding["code"] == "TRACE001"
    # Record 0 is the region's; the frame of its first page comes next.
    assert (finding["sequence"], finding["operation"]) == (1, "physical::alloc()")
    assert (finding["kernel"], finding["model"]) == (actual, expected)
    assert "memory::heap::map_region" in finding["caller"]
    assert finding["part_of"] is not None
    assert [absent["what"] for absent in report["not_checked"]] == ["memory"]
    (table,) = report["tables"]
    assert [row["record"] for row in table["rows"]] == [finding["part_of"]]


@pytest.fixture(scope="module")
def mixed() -> Iterator[Stopped]:
    with at_checkpoint(1, "scenario=mixed seed=7 ops=400") as stopped:
        yield stopped


def record(number: int) -> str:
    return f"((coronel::trace_record *)g_trace.ring_)[{number}]"


@contextmanager
def poked(gdb: Gdb, place: str, value: int) -> Iterator[None]:
    """Other bytes in the kernel's memory inside the block."""
    saved = gdb.evaluate(f"(unsigned long){place}")
    gdb.run(f"set var {place} = {value}")
    try:
        yield
    finally:
        gdb.run(f"set var {place} = {saved}")


def mallocs(gdb: Gdb) -> list[tuple[int, int]]:
    """Number and result of every malloc in the ring."""
    found = []
    for number in range(gdb.evaluate("g_trace.next_")):
        if gdb.evaluate(f"(unsigned){record(number)}.what") == 8:
            found.append((number, gdb.evaluate(f"{record(number)}.result")))
        if len(found) == 12:
            break
    return found


def test_a_recorded_result_that_the_model_contradicts(mixed: Stopped) -> None:
    gdb = mixed.gdb
    given = mallocs(gdb)
    other, (number, true) = given[4], given[10]
    caller = gdb.evaluate(f"{record(number)}.caller")
    with poked(gdb, f"{record(number)}.result", other[1]):
        report = mixed.report("replay --minimize", 1)
    (finding,) = report["findings"]
    assert (finding["code"], finding["sequence"]) == ("TRACE001", number)
    assert (finding["kernel"], finding["model"]) == (other[1], true)
    assert function_at(gdb, caller).name.partition("(")[0] in finding["caller"]
    # The operation that gave the block which is named twice, and the one that names it again.
    (table,) = report["tables"]
    rows = [row["record"] for row in table["rows"]]
    assert (rows[0], rows[-1]) == (other[0], number)
    assert len(rows) <= 3
    assert "memory equal" in mixed.report("replay", 0)["summary"]


@pytest.mark.parametrize(
    ("field", "value", "why"),
    [
        ("what", 99, "no operation 0x63"),
        ("sequence", 3, "its sequence is 0x3"),
        ("depth", 500, "a depth of 500"),
        ("cpu", 999, "a CPU 999"),
    ],
)
def test_a_damaged_record_is_a_finding_and_ends_the_replay(
    mixed: Stopped, field: str, value: int, why: str
) -> None:
    gdb = mixed.gdb
    place = f"*(unsigned *)&{record(50)}.what" if field == "what" else f"{record(50)}.{field}"
    with poked(gdb, place, value):
        report = mixed.report("replay", 1)
        address = gdb.evaluate(f"&{record(50)}")
    (finding,) = report["findings"]
    assert (finding["code"], finding["subject"], finding["sequence"]) == ("TRACE003", address, 50)
    assert why in finding["why"]
    assert {absent["what"] for absent in report["not_checked"]} == {"operations from #50 on", "memory"}


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        ("g_trace.capacity_", 1 << 40, "g_trace is damaged: capacity 0x10000000000"),
        ("g_trace.capacity_", 0, "trace not initialised"),
        ("*(unsigned long *)&g_trace.ring_", 0x1000, "cannot read"),
    ],
)
def test_a_damaged_description_is_one_line(mixed: Stopped, place: str, value: int, message: str) -> None:
    with poked(mixed.gdb, place, value):
        with pytest.raises(GdbCommandError) as caught:
            mixed.gdb.run("replay")
        assert message in caught.value.message
        assert "Traceback" not in caught.value.message + caught.value.log
        assert json.loads(mixed.gdb.console("replay --json"))["exit_code"] == 2


def test_a_boot_state_that_is_not_the_kernels_misleads_nobody(mixed: Stopped) -> None:
    place = "*(unsigned long *)&memory::g_memory_map"
    with poked(mixed.gdb, place, 0x2000000):
        report = mixed.report("replay", 2)
        assert "cannot tell the boot state" in report["not_checked"][0]["why"]
    with poked(mixed.gdb, "g_trace.lock_.locked_", 1):
        assert "is busy" in mixed.report("replay", 2)["summary"]


def test_a_ring_that_lost_records_says_what_it_can_prove() -> None:
    with at_checkpoint(1, "scenario=mixed seed=7 ops=400 trace=128") as stopped:
        gdb = stopped.gdb
        count = gdb.evaluate("g_trace.next_")
        report = stopped.report("replay", 2)
        assert f"the first {count - 128:,} records are lost" in report["summary"]
        assert report["checked"] > 20
        assert "boot the kernel with trace=" in report["not_checked"][0]["why"]
        live: dict[int, int] = {}
        for number in range(count - 128, count):
            slot = record(number % 128)
            what = gdb.evaluate(f"(unsigned){slot}.what")
            if what == 8 and live:
                pointer = next(iter(live))
                with poked(gdb, f"{slot}.result", pointer):
                    twice = stopped.report("replay", 1)
                break
            if what == 8:
                live[gdb.evaluate(f"{slot}.result")] = number
            elif what in (9, 10):
                live.pop(gdb.evaluate(f"{slot}.arguments[0]"), None)
    finding = twice["findings"][0]
    assert (finding["code"], finding["sequence"]) == ("TRACE004", number)
    assert f"the block at {pointer:#x}, still in use" in finding["why"]


def test_a_kernel_without_a_ring() -> None:
    with at_checkpoint(1, "scenario=boot trace=0") as stopped:
        with pytest.raises(GdbCommandError, match="trace not initialised"):
            stopped.gdb.run("replay")
        assert stopped.report("heapcheck", 0)["findings"] == []
