"""Who allocated and who freed, by the trace: held against what the kernel noted about its own bug."""

import re

import pytest

from lab.stopped import at_checkpoint


def line_of(text: str) -> int:
    """The line at the end of `file:line`."""
    found = re.search(r"(scenarios/\w+\.cpp):(\d+)", text)
    assert found, text
    return int(found[2])


@pytest.mark.parametrize("command", ["heapcheck", "memcheck"])
def test_a_use_after_free_is_named_with_the_old_owner(command: str) -> None:
    with at_checkpoint(1, "scenario=use_after_free") as stopped:
        gdb = stopped.gdb
        (finding,) = stopped.report(command, 1)["findings"]
        culprit = gdb.evaluate("g_seeded_fault.culprit")
        start = gdb.evaluate("g_seeded_fault.address")
        assert finding["suspect"]["kind"] == "use after free"
        assert (finding["suspect"]["block"], finding["suspect"]["data"]) == (culprit, culprit + 48)
        (line,) = [line for line in finding["lines"] if line.startswith("suspect")]
        # The old session: its address and size, the offset of what was written, who made and who ended it.
        assert f"+{start - culprit - 48:#x} of the block at {culprit + 48:#x} (192 bytes)" in line
        assert "allocated by #" in line
        assert "coronel::allocate_row scenarios/blocks.cpp" in line
        assert "freed by #" in line
        assert "coronel::run_use_after_free scenarios/use_after_free.cpp" in line


@pytest.mark.parametrize(
    ("scenario", "command", "code", "function", "why"),
    [
        ("double_free", "heapcheck", "HEAP011", "close", "it was freed before"),
        ("interior_free", "heapcheck", "HEAP011", "skip_and_free", "bytes inside the block"),
        ("frame_double_free", "frames", "FRAME016", "leave", "it was freed before"),
    ],
)
def test_a_refused_call_is_named_with_its_caller(
    scenario: str, command: str, code: str, function: str, why: str
) -> None:
    with at_checkpoint(1, f"scenario={scenario}") as stopped:
        gdb = stopped.gdb
        (finding,) = stopped.report(command, 1)["findings"]
        line = gdb.evaluate("g_seeded_fault.line")
    assert finding["code"] == code
    refused, *earlier = finding["callers"]
    assert f"{function} scenarios/{scenario}.cpp:" in refused
    assert why in refused
    assert abs(line_of(refused) - line) <= 3
    assert earlier
    assert all(text.startswith("earlier  #") for text in earlier)


def test_what_the_ring_does_not_hold_is_said() -> None:
    """The overflow's blocks are the last ones given; the damage of an older block has lost its history."""
    with at_checkpoint(1, "scenario=mixed seed=7 ops=400 trace=64") as stopped:
        gdb = stopped.gdb
        gdb.run("set var g_kernel_heap->first_block_->magic = 1")
        (finding,) = stopped.report("heapcheck", 1)["findings"]
        lost = gdb.evaluate("g_trace.next_") - 64
    (text,) = [line for line in finding["details"] if line.startswith("history")]
    assert f"not in the ring: {lost:,} records were overwritten" in text


def test_without_a_trace_that_is_said() -> None:
    with at_checkpoint(1, "scenario=overflow seed=5 trace=0") as stopped:
        (finding,) = stopped.report("heapcheck", 1)["findings"]
        assert finding["suspect"]["kind"] == "linear overflow"
    assert any("the kernel keeps no trace" in line for line in finding["details"])


def test_a_damaged_ring_costs_the_history_alone() -> None:
    with at_checkpoint(1, "scenario=overflow seed=5") as stopped:
        gdb = stopped.gdb
        for place, value in (("g_trace.capacity_", 1 << 40), ("*(unsigned long *)&g_trace.ring_", 0x1000)):
            saved = gdb.evaluate(place)
            gdb.run(f"set var {place} = {value}")
            (finding,) = stopped.report("heapcheck", 1)["findings"]
            assert any(line.startswith("history  not known: ") for line in finding["details"]), finding
            gdb.run(f"set var {place} = {saved}")
