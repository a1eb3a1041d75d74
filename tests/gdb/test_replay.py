"""`replay` on real kernels: what they did, what they noted about their own bugs, and bytes poked by GDB."""

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from lab.errors import GdbCommandError
from lab.functions import function_at
from lab.gdbmi import Gdb
from lab.programs import modules
from lab.scenarios import scenarios
from lab.stopped import BOOT_SECONDS, Stopped, at_checkpoint
from tests.gdb.replaying import performed, poked

HEADER = 48
RECORD = 64


def codes(report: dict[str, Any]) -> list[str]:
    return [finding["code"] for finding in report["findings"]]


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


def test_two_cpus_are_replayed_or_said_to_be_at_once() -> None:
    """One CPU's operation in the middle of the other's is no divergence of the kernel's."""
    with at_checkpoint(1, "scenario=smp seed=3 ops=1000 trace=65536", cpus=2) as stopped:
        report = json.loads(stopped.gdb.console("replay --json"))
    assert report["findings"] == []
    if report["not_checked"]:
        assert report["exit_code"] == 2
        assert any("another CPU's operations lie among" in row["why"] for row in report["not_checked"])
    else:
        assert "memory equal" in report["summary"]


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


def test_ctrl_c_ends_a_long_replay() -> None:
    """Hundreds of thousands of records; afterwards the prompt and the target are as before."""
    lines = modules([f"all_calls {number}" for number in range(2)])
    with at_checkpoint(1, "scenario=processes trace=1048576", extra=lines) as stopped:
        gdb = stopped.gdb
        token = gdb.begin('-interpreter-exec console "replay"')
        time.sleep(0.7)
        gdb.press_ctrl_c()
        with pytest.raises(GdbCommandError, match="replay: interrupted, nothing was checked"):
            gdb.finish(token, "replay")
        assert gdb.evaluate("$coronel_exit") == 2
        assert stopped.report("heapcheck", 0)["findings"] == []


def test_a_kernel_without_a_ring() -> None:
    with at_checkpoint(1, "scenario=boot trace=0") as stopped:
        with pytest.raises(GdbCommandError, match="trace not initialised"):
            stopped.gdb.run("replay")
        assert stopped.report("heapcheck", 0)["findings"] == []
