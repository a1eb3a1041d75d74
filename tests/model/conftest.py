"""Small machines for the tests of the model. Their addresses were worked out by hand from docs/spec.md."""

from collections.abc import Callable

import pytest

from model.events import Event
from model.machine import Machine
from model.memory import PhysicalMemory, PhysicalRange, VirtualMemory
from model.multiboot import MapEntry
from model.paging import PagingMode
from model.types import PhysicalAddress

MIB = 1 << 20


@pytest.fixture
def early() -> VirtualMemory:
    """16 MiB of RAM from 0 on, seen through the early map."""
    ram = PhysicalRange(PhysicalAddress(0), PhysicalAddress(16 * MIB))
    return VirtualMemory(PhysicalMemory([ram]), PagingMode())


@pytest.fixture
def events() -> list[Event]:
    """What the machine of this test reported."""
    return []


@pytest.fixture
def boot(events: list[Event]) -> Callable[[int], Machine]:
    """A function that boots a machine with RAM from 1 MiB to the given physical end."""
    return lambda end: Machine.boot([MapEntry(MIB, end - MIB)], listener=events.append)


@pytest.fixture
def machine(boot: Callable[[int], Machine]) -> Machine:
    """32 MiB: placement ends at 0x358000, the kernel directory takes 0x358000 … 0x35cfff.

    §9: objects at 0x336000, 0x336260, 0x3362d0; pool page 0x337000; 8192 nodes from 0x338000 on.
    """
    return boot(32 * MIB)


@pytest.fixture
def row(machine: Machine) -> list[int]:
    """Six blocks of 112 bytes, 160 apart, and the rest free: data at 48, 208, 368, 528, 688, 848."""
    return [machine.heap.malloc(112) for _ in range(6)]
