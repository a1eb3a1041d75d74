"""The pool of the kernel manager (docs/spec.md §6.3): `virt` lies at 0x336260, its page at 0x337000."""

from collections.abc import Callable

import pytest

from model.address_space import KERNEL_BASE
from model.errors import ErrorKind
from model.events import Event
from model.machine import Machine
from model.types import VirtualAddress
from tests.model.region_view import errors, field, free_list, spares

V0 = 0xFFFF_FFFF_8040_0000
VIRT = KERNEL_BASE + 0x336260


def test_the_kernel_manager_after_boot(machine: Machine) -> None:
    assert machine.regions.fields.address == VIRT
    assert free_list(machine.memory, VIRT) == [(V0, 0xFFFF_FFFF_BFE0_0000 - V0)]
    assert len(spares(machine.memory, VIRT)) == 127
    assert field(machine.memory, 24, VIRT) == KERNEL_BASE + 0x337020


def leave_spares(machine: Machine, count: int) -> None:
    while field(machine.memory, 32, VIRT) > count:
        machine.regions.nodes.take_spare()


def test_the_pool_grows_before_it_is_empty(machine: Machine, events: list[Event]) -> None:
    leave_spares(machine, 4)
    assert machine.regions.alloc(0x1000) == V0
    assert len(spares(machine.memory, VIRT)) == 4
    leave_spares(machine, 3)
    old = spares(machine.memory, VIRT)
    events.clear()
    # The page at V0 + 0x1000 becomes nodes first; frame 0x35d000, page table 0x35e000.
    assert machine.regions.alloc(0x1000) == V0 + 0x2000
    assert spares(machine.memory, VIRT) == [V0 + 0x1000 + 32 * n for n in range(128)] + old
    assert machine.memory.translate(VirtualAddress(V0 + 0x1000)) == 0x35D000
    assert [(e.part, e.operation) for e in events] == [
        ("physical", "alloc"), ("physical", "alloc"), ("paging", "map"), ("virt", "alloc"),
    ]  # fmt: skip


@pytest.mark.parametrize("call", ["alloc nothing", "alloc at nothing", "free nothing"])
def test_it_grows_at_the_start_of_each_operation(machine: Machine, call: str) -> None:
    leave_spares(machine, 3)
    match call:
        case "alloc nothing":
            machine.regions.alloc(0)
        case "alloc at nothing":
            machine.regions.alloc_at(0, 0)
        case _:
            machine.regions.free(0, 0)
    assert len(spares(machine.memory, VIRT)) == 131


def test_a_growth_without_frames_is_undone_and_the_operation_goes_on(machine: Machine) -> None:
    leave_spares(machine, 3)
    while machine.frames.alloc():
        pass
    before = free_list(machine.memory, VIRT)
    failed = machine.frames.fields.get("errors_", ErrorKind.OUT_OF_MEMORY)
    assert machine.regions.alloc_at(V0 + 0x10000, 0x1000) == V0 + 0x10000
    assert free_list(machine.memory, VIRT) == [
        (V0, 0x10000),
        (V0 + 0x11000, before[0][1] - 0x11000),
    ]
    assert len(spares(machine.memory, VIRT)) == 2
    assert errors(machine.memory, VIRT) == [0, 0, 0, 0, 0]
    assert machine.frames.fields.get("errors_", ErrorKind.OUT_OF_MEMORY) == failed + 1


def test_a_growth_that_cannot_map_gives_its_frame_back(machine: Machine) -> None:
    leave_spares(machine, 3)
    while machine.frames.free_count > 1:
        machine.frames.alloc()
    last = machine.frames.fields.get("free_list_")
    assert machine.regions.free(0, 0x1000) is False
    assert machine.frames.free_count == 1
    assert machine.frames.fields.get("free_list_") == last
    assert free_list(machine.memory, VIRT) == [(V0, 0xFFFF_FFFF_BFE0_0000 - V0)]
    assert errors(machine.memory, VIRT) == [0, 0, 0, 0, 1]


def test_a_growth_in_a_full_space_is_undone_too(boot: Callable[[int], Machine]) -> None:
    machine = boot(32 << 20)
    machine.regions.alloc(0xFFFF_FFFF_BFE0_0000 - V0)
    leave_spares(machine, 3)
    assert machine.regions.alloc(0x1000) == 0
    assert errors(machine.memory, VIRT) == [0, 1, 0, 0, 0]  # one error, not two
    assert len(spares(machine.memory, VIRT)) == 3
    # The used-up region's node serves to undo: one page is free, the growth takes and returns it.
    machine.regions.free(V0, 0x1000)
    leave_spares(machine, 2)
    while machine.frames.alloc():
        pass
    assert machine.regions.alloc(0x1000) == V0
    assert free_list(machine.memory, VIRT) == []
