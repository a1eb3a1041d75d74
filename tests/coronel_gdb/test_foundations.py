"""Locks, the frame manager's set-up, the pool of regions and single page table entries: sound, and damaged.

The truth is the model's own machine, of which some bytes are changed here.
"""

import json
from typing import Any

import pytest

from coronel_gdb.errors import ReadFault
from coronel_gdb.plugins import commands
from coronel_gdb.render import as_json
from model.address_space import KERNEL_BASE
from model.invariants.frame_manager import check_manager
from model.layouts import FRAME
from model.memory import PhysicalRange
from model.page_entry import Level, table_index
from model.snapshot import frame_manager
from model.types import PhysicalAddress, VirtualAddress
from tests.coronel_gdb.user_side import UserSide, user_side

CODE = KERNEL_BASE + (1 << 20)
HEAP_LOCK, FRAME_LOCK, REGION_LOCK = "heap", "frames", "regions"
COMMANDS = {command.name: command for command in commands()}


def report(side: UserSide) -> dict[str, Any]:
    command = COMMANDS["memcheck"]
    answer: dict[str, Any] = json.loads(as_json.render(command.run(side.context(), command.parse([]))))
    return answer


def entry_at(side: UserSide, virtual: int, level: int) -> PhysicalAddress:
    """Where the entry of that level for a kernel address lies."""
    table = int(side.machine.cr3)
    for above in range(4, level, -1):
        entry = side.machine.physical.read_u64(
            PhysicalAddress(table + 8 * table_index(virtual, Level(above)))
        )
        table = entry & 0x000F_FFFF_FFFF_F000
    return PhysicalAddress(table + 8 * table_index(virtual, Level(level)))


def subjects(side: UserSide, code: str) -> list[int]:
    found = [finding for finding in report(side)["findings"] if finding["code"] == code]
    return [place["subject"] for finding in found for place in finding["places"]]


def test_a_sound_machine_gives_no_finding() -> None:
    assert report(user_side("alpha"))["findings"] == []


@pytest.mark.parametrize("manager", [HEAP_LOCK, FRAME_LOCK, REGION_LOCK])
@pytest.mark.parametrize("value", [2, 7, 0xFFFF_FFFF])
def test_a_lock_that_holds_what_no_lock_holds(manager: str, value: int) -> None:
    side = user_side()
    fields = getattr(side.machine, manager).fields
    fields.set("lock_", value)
    assert subjects(side, "LOCK001") == [fields.address]


def test_a_lock_that_is_held_is_no_finding() -> None:
    side = user_side()
    side.machine.heap.fields.set("lock_", 1)
    answer = report(side)
    assert answer["findings"] == []
    assert any("kernel heap" in row["what"] for row in answer["not_checked"])
    assert answer["exit_code"] == 2


@pytest.mark.parametrize("field", ["", "physical_end_", "nodes_", "node_count_", "range_count_"])
def test_a_frame_manager_that_contradicts_its_boot(field: str) -> None:
    machine = user_side().machine
    fields, before = machine.frames.fields, machine.memory.read_u64(machine.image.placement)
    if field:
        fields.set(field, fields.get(field) ^ 0x1000)
    manager = frame_manager(machine)
    ram = [PhysicalRange(PhysicalAddress(0), PhysicalAddress(0x9F000))]
    ram.append(PhysicalRange(PhysicalAddress(1 << 20), PhysicalAddress(64 << 20)))
    slots = [*manager.ranges[:1], *[(0, 0)] * 31]
    count = fields.get("range_count_")
    found = check_manager(manager, slots, count, (ram, []), before, FRAME.size_bytes)
    assert [violation.subject for violation in found] == [fields.address] * bool(field)


def test_a_node_that_leaves_others_out() -> None:
    side = user_side()
    first = side.machine.frames.fields.get("free_list_")
    memory = side.machine.memory
    second = memory.read_u64(VirtualAddress(first + 8))
    memory.write_u64(VirtualAddress(first + 8), memory.read_u64(VirtualAddress(second + 8)))
    assert subjects(side, "FRAME019") == [first]


def test_a_pool_of_region_nodes_that_is_damaged() -> None:
    side = user_side()
    fields = side.machine.regions.fields
    spare = fields.get("spare_")
    side.machine.memory.write_u64(VirtualAddress(spare), 0x1000)
    assert subjects(side, "REGION008") == [spare]
    side.machine.memory.write_u64(VirtualAddress(spare), 0)
    fields.set("spare_count_", fields.get("spare_count_") + 1)
    assert subjects(side, "REGION008") == [fields.address]


@pytest.mark.parametrize("bit", [8, 9, 11, 52, 62])
def test_a_bit_of_a_leaf_that_the_kernel_never_sets(bit: int) -> None:
    side = user_side()
    at = entry_at(side, CODE, 1)
    change(side, at, 1 << bit)
    assert subjects(side, "PAGE011") == [at]


@pytest.mark.parametrize("level", [2, 3, 4])
@pytest.mark.parametrize("bit", [0, 1, 4, 63])
def test_an_entry_that_refers_to_a_table(level: int, bit: int) -> None:
    side = user_side()
    at = entry_at(side, CODE, level)
    change(side, at, 1 << bit)
    assert at in {*subjects(side, "PAGE011"), *subjects(side, "PAGE012")}


def test_an_entry_that_is_gone_or_leads_to_another_table() -> None:
    for replaced in (0, 0x50_0023):
        side = user_side()
        at = entry_at(side, CODE, 2)
        side.machine.physical.write_u64(at, replaced)
        assert subjects(side, "PAGE011") == [at]


@pytest.mark.parametrize("address", [(1 << 64) - 16, 1 << 64, 3 << 64])
def test_a_structure_that_would_reach_beyond_the_last_address_cannot_be_read(address: int) -> None:
    with pytest.raises(ReadFault, match="beyond the last address"):
        user_side().context().space.read(VirtualAddress(address), 608)


def test_the_processors_own_bits_are_no_damage() -> None:
    side = user_side("alpha")
    for level in (1, 2, 3, 4):
        change(side, entry_at(side, CODE, level), 0x20)
    change(side, entry_at(side, CODE, 1), 0x40)
    assert report(side)["findings"] == []


def test_an_unused_entry_that_holds_something() -> None:
    side = user_side()
    at = PhysicalAddress((entry_at(side, CODE, 1) & -4096) + 8 * 511)
    side.machine.physical.write_u64(at, 0x1000)
    assert subjects(side, "PAGE012") == [at]


def change(side: UserSide, at: PhysicalAddress, bits: int) -> None:
    physical = side.machine.physical
    physical.write_u64(at, physical.read_u64(at) ^ bits)
