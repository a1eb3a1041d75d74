"""What the boot fixed for good: the model's own boot obeys it, and each rule sees its damage."""

from dataclasses import replace

import pytest

from model.address_space import DEVICE_BASE, DEVICE_END, linear, linear_physical
from model.invariants.boot import (
    BootMap,
    Placed,
    Ring,
    check_map,
    check_next_device,
    check_ring,
    check_variables,
    placed_by,
)
from model.machine import Machine
from model.memory import PhysicalRange
from model.multiboot import MapEntry
from model.records import FrameManager
from model.snapshot import frame_manager
from model.types import PAGE_BYTES, PhysicalAddress

MIB = 1 << 20
RECORDS = 4096
MODULE = PhysicalRange(PhysicalAddress(0x33_8000), PhysicalAddress(0x33_B000))
"""What the boot loader left in the way of the placement area."""


@pytest.fixture(scope="module", params=[(), (MODULE,)], ids=["all free", "a module in the way"])
def booted(request: pytest.FixtureRequest) -> tuple[Machine, BootMap]:
    machine = Machine.boot(
        [MapEntry(0, 0x9FC00), MapEntry(MIB, 63 * MIB)], request.param, trace_records=RECORDS
    )
    ram, reserved = machine.physical.ram, machine.placement.reserved
    return machine, BootMap(0x1000, ram, reserved, len(ram), len(reserved))


def variables(machine: Machine) -> dict[str, tuple[int, int]]:
    image, read = machine.image, machine.memory.read_u64
    return {
        "frames": (image.physical_manager, read(image.physical_manager)),
        "regions": (image.kernel_virtual_manager, read(image.kernel_virtual_manager)),
        "heap": (image.kernel_heap, read(image.kernel_heap)),
        "placement": (image.placement, read(image.placement)),
        "kernel_directory": (image.kernel_directory, read(image.kernel_directory)),
    }


def test_a_boot_places_what_the_map_says(booted: tuple[Machine, BootMap]) -> None:
    machine, boot = booted
    placed = placed_by(boot, RECORDS)
    assert linear(placed.frames) == machine.frames.fields.address
    assert linear(placed.regions) == machine.regions.fields.address
    assert linear(placed.heap) == machine.heap.fields.address
    assert linear(placed.nodes) == machine.frames.fields.get("nodes_")
    assert placed.end == machine.placement.next_free
    assert check_map(boot, frame_manager(machine), placed.end) == []
    assert check_variables(boot, variables(machine), placed, placed.end) == []


@pytest.mark.parametrize("role", ["frames", "regions", "heap", "placement", "kernel_directory"])
@pytest.mark.parametrize("change", [1, 16, 0x1000, 1 << 63])
def test_a_variable_that_holds_something_else(
    booted: tuple[Machine, BootMap], role: str, change: int
) -> None:
    machine, boot = booted
    placed, found = placed_by(boot, RECORDS), variables(machine)
    address, value = found[role]
    found[role] = (address, value ^ change)
    (violation,) = check_variables(boot, found, placed, placed.end)
    assert (violation.subject, violation.field, violation.expected) == (address, role, value)


def ranges(*pairs: tuple[int, int]) -> list[PhysicalRange]:
    return [PhysicalRange(PhysicalAddress(start), PhysicalAddress(end)) for start, end in pairs]


LOW, HIGH = (0, 0x9F000), (MIB, 64 * MIB)


@pytest.mark.parametrize(
    "damaged",
    [
        BootMap(0x1000, [], [], 0, 0),
        BootMap(0x1000, ranges(LOW, HIGH), [], 65, 0),
        BootMap(0x1000, ranges(LOW, HIGH), [], 2, 33),
        BootMap(0x1000, ranges(LOW, (MIB, 64 * MIB + 1)), [], 2, 0),
        BootMap(0x1000, ranges(LOW, (64 * MIB, MIB)), [], 2, 0),
        BootMap(0x1000, ranges(HIGH, LOW), [], 2, 0),
        BootMap(0x1000, ranges(LOW, (2 * MIB, 64 * MIB)), [], 2, 0),
        BootMap(0x1000, ranges(LOW, (MIB, 65 * MIB)), [], 2, 0),
        BootMap(0x1000, ranges(LOW, HIGH), ranges((0x200_0000, 0x200_1000)), 2, 1),
    ],
)
def test_a_memory_map_that_cannot_be_so(damaged: BootMap) -> None:
    machine = Machine.boot([MapEntry(0, 0x9FC00), MapEntry(MIB, 63 * MIB)])
    found = check_map(damaged, frame_manager(machine), int(machine.placement.end))
    assert found
    assert {violation.subject for violation in found} == {0x1000}


def test_a_frame_manager_that_contradicts_itself_is_no_witness_against_the_map() -> None:
    machine = Machine.boot([MapEntry(0, 0x9FC00), MapEntry(MIB, 63 * MIB)])
    boot = BootMap(0x1000, ranges(LOW, HIGH), [], 2, 0)
    manager: FrameManager = frame_manager(machine)
    end = int(machine.placement.end)
    assert check_map(boot, replace(manager, node_count=manager.node_count + 1), end) == []
    start, stop = manager.ranges[0]
    assert check_map(boot, replace(manager, ranges=((PhysicalAddress(start + 8), stop),)), end) == []


def ring_of(placed: Placed, next_number: int) -> Ring:
    """A ring as the kernel leaves it after so many records."""
    oldest = next_number - RECORDS
    return Ring(
        0x2000,
        int(linear(placed.ring)),
        RECORDS,
        next_number,
        next_number - 1 if next_number else None,
        oldest if oldest >= 0 else None,
    )


@pytest.mark.parametrize("number", [0, 1, 100, RECORDS, RECORDS + 1, 3 * RECORDS])
def test_a_ring_and_its_damage(booted: tuple[Machine, BootMap], number: int) -> None:
    boot = booted[1]
    placed = placed_by(boot, RECORDS)
    ring = ring_of(placed, number)
    assert check_ring(ring, placed, placed.end) == []
    for damaged in (
        replace(ring, ring=ring.ring + 64),
        replace(ring, ring=0),
        replace(ring, next=number + 1),
        replace(ring, next=number - 1),
    ):
        (violation,) = check_ring(damaged, placed, placed.end)
        assert violation.subject == 0x2000
    for capacity in (0, 1, RECORDS + 64, 1 << 21):
        other = placed_by(boot, min(capacity, 1 << 20))
        found = check_ring(replace(ring, capacity=capacity), other, placed.end)
        assert "capacity" in {violation.field for violation in found}


def test_no_trace_is_no_ring() -> None:
    machine = Machine.boot([MapEntry(0, 0x9FC00), MapEntry(MIB, 63 * MIB)])
    ram = machine.physical.ram
    placed = placed_by(BootMap(0, ram, [], len(ram), 0), 0)
    assert placed.end == machine.placement.next_free
    assert linear_physical(machine.frames.fields.get("nodes_")) == placed.nodes
    assert check_ring(Ring(0x2000, 0, 0, 0), placed, placed.end) == []


@pytest.mark.parametrize(
    ("value", "mapped_end", "tables_end", "is_right"),
    [
        (int(DEVICE_BASE), 0, 0, True),
        (DEVICE_BASE + PAGE_BYTES, DEVICE_BASE + PAGE_BYTES, DEVICE_BASE + 2 * MIB, True),
        (DEVICE_BASE + 2 * PAGE_BYTES, DEVICE_BASE + PAGE_BYTES, DEVICE_BASE + 2 * MIB, True),
        (int(DEVICE_END), 0, int(DEVICE_END), True),
        (DEVICE_BASE + PAGE_BYTES, 0, 0, False),
        (int(DEVICE_BASE), DEVICE_BASE + PAGE_BYTES, DEVICE_BASE + 2 * MIB, False),
        (DEVICE_BASE + 1, 0, DEVICE_BASE + 2 * MIB, False),
        (0, 0, 0, False),
        ((1 << 64) - PAGE_BYTES + 1, 0, 0, False),
    ],
)
def test_the_next_device(value: int, mapped_end: int, tables_end: int, *, is_right: bool) -> None:
    found = check_next_device(0x3000, value, mapped_end, tables_end)
    assert [violation.subject for violation in found] == ([] if is_right else [0x3000])
