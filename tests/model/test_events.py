"""Kinds of errors, their numbers and words (docs/spec.md §8.1), and the journal that counts them."""

from model.address_space import KERNEL_BASE
from model.errors import BootStopped, CpuException, ErrorKind, NoSuchMemory, Refusal, Stopped
from model.events import Event, Journal, Part
from model.memory import VirtualMemory
from model.types import PhysicalAddress, VirtualAddress

COUNTERS = VirtualAddress(KERNEL_BASE + 0x8000)


def test_kinds_are_numbered_as_in_the_specification() -> None:
    assert [(int(kind), kind.words) for kind in ErrorKind] == [
        (0, "out of memory"),
        (1, "virtual space exhausted"),
        (2, "corruption detected"),
        (3, "double free"),
        (4, "invalid pointer"),
    ]


def test_a_refusal_is_counted_reported_and_gives_0(early: VirtualMemory) -> None:
    heard: list[Event] = []
    journal = Journal(Part.HEAP, early, COUNTERS, heard.append)
    assert journal.conclude("free", (0x1230,), Refusal(ErrorKind.DOUBLE_FREE, 0x1230)) == 0
    assert journal.conclude("free", (0x40,), 1) == 1
    assert [early.read_u64(VirtualAddress(COUNTERS + 8 * n)) for n in range(5)] == [0, 0, 0, 1, 0]
    assert heard == [
        Event(Part.HEAP, "free", (0x1230,), 0, Refusal(ErrorKind.DOUBLE_FREE, 0x1230)),
        Event(Part.HEAP, "free", (0x40,), 1),
    ]
    assert [event.line for event in heard] == ["coronel: heap: double free: 0x1230", None]


def test_nobody_has_to_listen(early: VirtualMemory) -> None:
    assert Journal(Part.VIRT, early, COUNTERS).conclude("alloc", (0,), 0) == 0


def test_what_stops_a_machine_carries_its_values() -> None:
    stops: list[Stopped] = [
        BootStopped("coronel: x"),
        CpuException(14, 2, VirtualAddress(0x10)),
        NoSuchMemory(PhysicalAddress(0x20), 8),
    ]
    assert [str(stop) for stop in stops] == [
        "coronel: x",
        "exception 14 error 0x2 at 0x10",
        "no RAM at physical 0x20 (8 bytes)",
    ]
