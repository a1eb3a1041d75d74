"""The commands on the model's own machine, with no QEMU: damage done here is known to the byte."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coronel_gdb.backends.memory_host import MachineTarget
from coronel_gdb.commands.command import Context
from coronel_gdb.lift.heap import lift_heap, read_heap
from coronel_gdb.plugins import commands
from model.layouts import HEAP, HEAP_BLOCK
from model.machine import Machine
from model.records import HeapBlock
from model.types import VirtualAddress
from tests.coronel_gdb.asked import booted, overwritten, report

COMMANDS = {command.name: command for command in commands()}
HEADER = HEAP_BLOCK.size_bytes


@pytest.fixture(scope="module")
def machine() -> Machine:
    return booted(42, 600)


@pytest.fixture(scope="module")
def blocks(machine: Machine) -> list[HeapBlock]:
    context = Context(MachineTarget(machine))
    heap = read_heap(context.target, context.space, context.profile.heap)
    return lift_heap(context.space, heap, context.profile.heap, careful=True).blocks


@pytest.mark.parametrize("line", ["heapcheck", "frames", "pagewalk", "pagewalk g_kernel_heap"])
def test_a_sound_machine_gives_no_finding(machine: Machine, line: str) -> None:
    answer = report(machine, line)
    assert (answer["exit_code"], answer["findings"]) == (0, [])


def test_heapcheck_finds_every_block(machine: Machine, blocks: list[HeapBlock]) -> None:
    at, count = machine.memory.read_u64(VirtualAddress(machine.heap.fields.address + 24)), 0
    while at:
        assert blocks[count].address == at
        at, count = machine.memory.read_u64(VirtualAddress(at + 16)), count + 1
    assert count == len(blocks) > 50


@settings(max_examples=300)
@given(data=st.data())
def test_any_change_of_any_header_field_is_found_there_and_nowhere_else(
    machine: Machine, blocks: list[HeapBlock], data: st.DataObject
) -> None:
    block = data.draw(st.sampled_from(blocks))
    member = HEAP_BLOCK.member(data.draw(st.sampled_from(["size", "is_free", "next", "prev", "magic"])))
    at = VirtualAddress(block.address + member.offset_bytes)
    old = machine.memory.read(at, member.size_bytes)
    new = data.draw(
        st.binary(min_size=member.size_bytes, max_size=member.size_bytes).filter(lambda b: b != old)
    )
    with overwritten(machine, at, new):
        answer = report(machine, "heapcheck")
    assert [finding["subject"] for finding in answer["findings"]] == [block.address]
    (field,) = answer["findings"][0]["fields"]
    assert field["field"] == member.name
    assert bytes.fromhex(field["found_bytes"]) == new
    assert bytes.fromhex(field["expected_bytes"]) == old


@settings(max_examples=200)
@given(data=st.data())
def test_a_linear_overflow_names_the_victims_and_the_culprit(
    machine: Machine, blocks: list[HeapBlock], data: st.DataObject
) -> None:
    index = data.draw(st.integers(0, len(blocks) - 3))
    culprit, victim = blocks[index], blocks[index + 1]
    if culprit.address + HEADER + culprit.size_bytes != victim.address:
        return  # the end of a region
    length = data.draw(st.integers(1, 200))
    text = data.draw(st.sampled_from([b"A", b"\xff", b"kernel panic: no "])) * length
    with overwritten(machine, victim.address, text[:length]):
        answer = report(machine, "heapcheck")
    assert answer["exit_code"] == 1
    first = answer["findings"][0]
    assert first["block"] == victim.address
    assert first["suspect"]["block"] == culprit.address
    hit = {b.address for b in blocks if victim.address <= b.address < victim.address + length}
    assert {finding["block"] for finding in answer["findings"]} <= hit


@pytest.mark.parametrize(
    ("field", "delta"),
    [("total_allocated_", 16), ("total_free_", -48), ("heap_size_", 4096), ("heap_end_", 4096)],
)
def test_a_wrong_counter_is_blamed_on_the_counter(machine: Machine, field: str, delta: int) -> None:
    at = machine.heap.fields.address + HEAP.member(field).offset_bytes
    value = machine.memory.read_u64(VirtualAddress(at)) + delta
    with overwritten(machine, at, value.to_bytes(8, "little")):
        answer = report(machine, "heapcheck")
    assert [finding["code"] for finding in answer["findings"]] == ["HEAP008"]
    assert answer["findings"][0]["expected"] == value - delta


def test_a_wrong_number_of_frees_is_blamed_on_the_counters(machine: Machine, blocks: list[HeapBlock]) -> None:
    at = VirtualAddress(machine.heap.fields.address + HEAP.member("num_frees_").offset_bytes)
    with overwritten(machine, at, (machine.memory.read_u64(at) + 1).to_bytes(8, "little")):
        (finding,) = report(machine, "heapcheck")["findings"]
    used = sum(not block.is_free for block in blocks)
    assert (finding["code"], finding["found"], finding["expected"]) == ("HEAP008", used - 1, used)


@settings(max_examples=100)
@given(pointer=st.integers(0, 2**64 - 1), offset=st.sampled_from([0, 8, 16, 24, 32]))
def test_a_wild_heap_object_never_breaks_the_command(machine: Machine, pointer: int, offset: int) -> None:
    at = machine.heap.fields.address + offset
    with overwritten(machine, at, pointer.to_bytes(8, "little")):
        assert report(machine, "heapcheck")["exit_code"] in (0, 1, 2)


def test_views_stop_at_the_next_block_where_a_size_claims_too_much(
    machine: Machine, blocks: list[HeapBlock]
) -> None:
    block, after = blocks[3], blocks[4]
    sound = report(machine, "heapcheck --map --stats")
    with overwritten(machine, block.address, b"AAAAAAAA"):
        answer = report(machine, "heapcheck --map --stats")
    facts, before = answer["facts"], sound["facts"]
    assert facts["scattered"] == before["scattered"]
    drawn = "".join(row["heap"] for row in next(t for t in answer["tables"] if t["title"] == "map")["rows"])
    whole = "".join(row["heap"] for row in next(t for t in sound["tables"] if t["title"] == "map")["rows"])
    changed = [index for index, (one, other) in enumerate(zip(drawn, whole, strict=True)) if one != other]
    assert drawn.count("!") == len(changed) >= 1
    cell = next(each for each in range(16, 1 << 20, 16) if len(whole) == -(-_extent(machine) // each))
    start = machine.heap.fields.get("heap_start_")
    for index in changed:
        low = start + index * cell
        assert low < after.address
        assert low + cell > block.address


def _extent(machine: Machine) -> int:
    return machine.heap.fields.get("heap_end_") - machine.heap.fields.get("heap_start_")


def test_details_of_a_damaged_block_say_where_it_lies_and_what_is_counted(
    machine: Machine, blocks: list[HeapBlock]
) -> None:
    block = blocks[3]
    physical = machine.memory.translate(VirtualAddress(block.address))
    with overwritten(machine, block.address, b"AAAAAAAA"):
        (finding,) = report(machine, "heapcheck")["findings"]
    details = {line.split(maxsplit=1)[0]: line.split(maxsplit=1)[1] for line in finding["details"]}
    fields = machine.heap.fields
    used, free = fields.get("total_allocated_"), fields.get("total_free_")
    end = block.address + HEADER + block.size_bytes
    assert details["object"].startswith(f"block {block.address:#x}..{end:#x}, ")
    assert details["frame"] == f"{physical & -4096:#x}, the header at physical {physical:#x}"
    assert details["mapped"] == f"{block.address:#x} of kernel (rw- kernel)"
    assert details["counters"] == (
        f"{used:,} used, {free:,} free by the kernel; {used:,} used, {free:,} free by the blocks"
    )
    assert "trace" in details
