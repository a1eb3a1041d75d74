"""Who is suspected of a damaged header, and whether the repair that is shown does repair it."""

from contextlib import ExitStack
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from coronel_gdb.backends.memory_host import MachineTarget
from coronel_gdb.commands.command import Context
from coronel_gdb.lift.heap import lift_heap, read_heap
from coronel_gdb.plugins import commands
from coronel_gdb.render import as_table
from coronel_gdb.render.dialect import Dialect
from coronel_gdb.report import Report
from model.layouts import HEAP_BLOCK
from model.machine import Machine
from model.multiboot import MapEntry
from model.records import HeapBlock
from model.types import VirtualAddress
from tests.coronel_gdb.asked import booted, overwritten

HEADER = HEAP_BLOCK.size_bytes
HEAPCHECK = {command.name: command for command in commands()}["heapcheck"]


@pytest.fixture(scope="module")
def machine() -> Machine:
    return booted(7, 400)


@pytest.fixture(scope="module")
def rows(machine: Machine) -> list[HeapBlock]:
    """Blocks that the next one touches, and that are touched themselves."""
    context = Context(MachineTarget(machine))
    heap = read_heap(context.target, context.space, context.profile.heap)
    blocks = lift_heap(context.space, heap, context.profile.heap).blocks
    ends = {block.address + HEADER + block.size_bytes for block in blocks}
    return [block for block in blocks[:-1] if block.address in ends]


def heapcheck(machine: Machine) -> Report:
    return HEAPCHECK.run(Context(MachineTarget(machine)), HEAPCHECK.parse([]))


def first_suspect(machine: Machine) -> dict[str, Any]:
    suspect: Any = heapcheck(machine).findings[0].data["suspect"]
    assert isinstance(suspect, dict)
    return suspect


def test_a_run_over_whole_small_blocks_is_blamed_on_the_block_it_began_in() -> None:
    machine = Machine.boot([MapEntry(0, 0x9FC00), MapEntry(1 << 20, 63 << 20)])
    row = [machine.kalloc(16) for _ in range(5)]
    distances = {after - before for before, after in pairwise(row)}
    assert distances == {HEADER + 16}
    text = b"a much too long name " * 12
    with overwritten(machine, row[1], text[: 2 * (HEADER + 16) + 16 + 40]):
        findings = heapcheck(machine).findings
    suspects = {finding.data["suspect"]["block"] for finding in findings}  # type: ignore[index]
    # Nothing in memory knows the header in the middle any more: both that pointed to it are gone as well.
    assert [finding.subject for finding in findings] == [row[2] - HEADER, row[4] - HEADER]
    assert suspects == {row[1] - HEADER}


def test_what_stands_in_the_padding_is_no_part_of_the_run(machine: Machine, rows: list[HeapBlock]) -> None:
    """Padding keeps what was there before; text in it does not make the overflow begin in a header."""
    row = next(block for block in rows if not block.is_free)
    padding = row.address + HEAP_BLOCK.member("padding").offset_bytes
    text = b"<" * (HEADER + row.size_bytes + 24 - (padding - row.address))
    with overwritten(machine, padding, text):
        (line,) = [line for line in heapcheck(machine).findings[0].lines if line.startswith("suspect")]
    data = row.address + HEADER
    assert f"the run of {row.size_bytes + 24} bytes begins in its data, at {data:#x}, its first byte" in line


@settings(max_examples=100)
@given(data=st.data())
def test_text_that_runs_down_out_of_a_block_is_an_underflow(
    machine: Machine, rows: list[HeapBlock], data: st.DataObject
) -> None:
    block = data.draw(st.sampled_from(rows))
    length = data.draw(st.integers(9, 39))  # into the magic, not down to the header's first byte
    start = block.address + HEADER - length
    with overwritten(machine, start, (b"01" * 20)[:length]):
        suspect = first_suspect(machine)
    assert (suspect["kind"], suspect["block"], suspect["direction"]) == (
        "underflow",
        block.address,
        "downwards",
    )


@settings(max_examples=100)
@given(data=st.data())
def test_a_pointer_in_the_middle_of_a_header_is_one_store(
    machine: Machine, rows: list[HeapBlock], data: st.DataObject
) -> None:
    block = data.draw(st.sampled_from(rows))
    field = data.draw(st.sampled_from(["next", "prev"]))
    pointer = data.draw(st.integers(1 << 63, (1 << 64) - 8192))
    at = block.address + HEAP_BLOCK.member(field).offset_bytes
    old = machine.memory.read(VirtualAddress(at), 8)
    assume(all(a != b for a, b in zip(old, pointer.to_bytes(8, "little"), strict=True)))
    with overwritten(machine, at, pointer.to_bytes(8, "little")):
        suspect = first_suspect(machine)
    assert (suspect["kind"], suspect["block"]) == ("single store", None)


def test_without_any_edge_or_pattern_it_cannot_tell(machine: Machine, rows: list[HeapBlock]) -> None:
    block = rows[3]
    with overwritten(machine, block.address + 8, bytes.fromhex("07 91 a2 b3 c4 d5 e6 f7") * 3):
        finding = heapcheck(machine).findings[0]
    assert finding.data["suspect"] == {"kind": "unknown", "block": None, "data": None, "direction": None}
    assert any("cannot tell" in line for line in finding.lines)
    assert sum(line.startswith("not ") for line in finding.details) == 4


@settings(max_examples=200)
@given(data=st.data())
def test_the_repair_that_is_shown_makes_the_heap_sound(
    machine: Machine, rows: list[HeapBlock], data: st.DataObject
) -> None:
    block = data.draw(st.sampled_from(rows))
    offset = data.draw(st.integers(0, 39))
    junk = data.draw(st.binary(min_size=1, max_size=40 - offset))
    with ExitStack() as changes:
        changes.enter_context(overwritten(machine, block.address + offset, junk))
        report = heapcheck(machine)
        for finding in report.findings:
            if "verified" not in finding.repair_note:
                return
            for write in finding.repair:
                changes.enter_context(overwritten(machine, write.address, write.data))
        assert heapcheck(machine).findings == []


def test_the_repair_is_said_in_the_words_of_each_debugger(machine: Machine, rows: list[HeapBlock]) -> None:
    block = rows[0]
    with overwritten(machine, block.address + 8, b"\x77"):
        report = heapcheck(machine)
    at = f"{block.address + 8:#x}"
    gdb = as_table.render(report, verbose=True)
    assert f"set var *(unsigned char *){at} = {block.is_free:#x}" in gdb
    assert f"watch -l *(unsigned long *){at}" in gdb
    lldb = as_table.render(report, Dialect.LLDB, verbose=True)
    assert f"memory write -s 1 {at} {block.is_free:#x}" in lldb
    assert f"watchpoint set expression -w write -s 8 -- {at}" in lldb
    assert "set var" not in as_table.render(report)
