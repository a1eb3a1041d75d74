"""The frame allocator (docs/spec.md §4.4 to §4.8)."""

import struct

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from model.address_space import KERNEL_BASE
from model.errors import CpuException, ErrorKind
from model.events import Event
from model.frames import FrameAllocator
from model.memory import PhysicalMemory, PhysicalRange, VirtualMemory
from model.paging import PagingMode
from model.types import PhysicalAddress, VirtualAddress

OBJECT = VirtualAddress(KERNEL_BASE + 0x1000)
NODES = VirtualAddress(KERNEL_BASE + 0x2000)
FRAMES = 256  # all of 1 MiB


def raw_node(memory: VirtualMemory, frame: int) -> tuple[int, int]:
    """Node of a frame: 16 bytes at nodes_ + 16 × number."""
    address, previous = struct.unpack("<QQ", memory.read(VirtualAddress(NODES + frame // 4096 * 16), 16))
    return address, previous


def node(frame: int) -> int:
    return NODES + frame // 4096 * 16


def field(memory: VirtualMemory, offset: int) -> int:
    """A field of `physical` by the offset that §10 gives."""
    return memory.read_u64(VirtualAddress(OBJECT + offset))


def errors(memory: VirtualMemory) -> list[int]:
    return [field(memory, 560 + 8 * kind) for kind in ErrorKind]


def begun(memory: VirtualMemory) -> FrameAllocator:
    frames = FrameAllocator.at(memory, OBJECT)
    frames.begin(PhysicalAddress(FRAMES * 4096), NODES)
    return frames


@pytest.fixture
def frames(early: VirtualMemory) -> FrameAllocator:
    """Frames 0x10000 … 0x13000 and, set up later, 0x8000 … 0x9000: as the coordinator calls it."""
    made = begun(early)
    made.setup(0x10000, 0x4000)
    made.setup(0x8000, 0x2000)
    return made


def test_begin_knows_every_frame_below_the_end(early: VirtualMemory) -> None:
    begun(early)
    assert [field(early, offset) for offset in (0, 8, 16, 24, 32)] == [0x100000, 0, NODES, 256, 0]


def test_setup_lets_the_lowest_frame_come_first(early: VirtualMemory, frames: FrameAllocator) -> None:
    order = [0x8000, 0x9000, 0x10000, 0x11000, 0x12000, 0x13000]
    assert field(early, 8) == node(0x8000)
    assert field(early, 32) == frames.free_count == 6
    for frame, following in zip(order, [*order[1:], None], strict=True):
        assert raw_node(early, frame) == (frame, node(following) if following else 0)
    assert [field(early, 40 + 8 * n) for n in range(5)] == [0x10000, 0x14000, 0x8000, 0xA000, 0]
    assert field(early, 552) == 2
    assert raw_node(early, 0x7000) == (0, 0)
    assert [frames.alloc() for _ in range(7)] == [*order, 0]


def test_alloc_clears_the_node_and_counts(early: VirtualMemory, frames: FrameAllocator) -> None:
    assert frames.alloc() == 0x8000
    assert raw_node(early, 0x8000) == (0, 0)
    assert field(early, 8) == node(0x9000)
    assert frames.free_count == 5


def test_free_is_last_in_first_out(early: VirtualMemory, frames: FrameAllocator) -> None:
    for _ in range(4):
        frames.alloc()
    assert frames.free(0x9000)
    assert frames.free(0x8000)
    assert raw_node(early, 0x8000) == (0x8000, node(0x9000))
    assert raw_node(early, 0x9000) == (0x9000, node(0x12000))
    assert frames.free_count == 4
    assert [frames.alloc(), frames.alloc(), frames.alloc()] == [0x8000, 0x9000, 0x12000]


def test_an_empty_list_is_out_of_memory(early: VirtualMemory) -> None:
    frames = begun(early)
    assert frames.alloc() == 0
    assert errors(early) == [1, 0, 0, 0, 0]


@pytest.mark.parametrize(
    "address", [0, 0x8001, 0x7000, 0xA000, 0xF000, 0x14000, (1 << 64) - 4096, -4096, 1 << 70]
)
def test_free_of_what_is_not_managed(early: VirtualMemory, frames: FrameAllocator, address: int) -> None:
    before = early.read(OBJECT, 0x3000)
    assert not frames.free(address)
    assert errors(early) == [0, 0, 0, 0, 1]
    after = bytearray(early.read(OBJECT, 0x3000))
    after[592] = 0  # the counter
    assert after == before


def test_double_free(early: VirtualMemory, frames: FrameAllocator) -> None:
    assert not frames.free(0x11000)  # never allocated
    frames.alloc()
    assert frames.free(0x8000)
    assert not frames.free(0x8000)
    assert errors(early) == [0, 0, 0, 2, 0]
    assert frames.free_count == 6


@pytest.mark.parametrize(
    "head",
    [
        pytest.param(NODES + 8, id="between two nodes"),
        pytest.param(NODES - 16, id="below the array"),
        pytest.param(NODES + 16 * FRAMES, id="behind the array"),
        pytest.param(NODES + 16 * 0x20, id="a node that holds no address"),
        pytest.param(0x4141414141414141, id="garbage"),
    ],
)
def test_a_smashed_head_is_corruption(early: VirtualMemory, frames: FrameAllocator, head: int) -> None:
    early.write_u64(VirtualAddress(OBJECT + 8), head)
    before = early.read(NODES, 16 * FRAMES)
    assert frames.alloc() == 0
    assert errors(early) == [0, 0, 1, 0, 0]
    assert field(early, 8) == head
    assert frames.free_count == 6
    assert early.read(NODES, 16 * FRAMES) == before


def test_what_lies_behind_the_array_is_no_node_whatever_it_holds(
    early: VirtualMemory, frames: FrameAllocator
) -> None:
    behind = VirtualAddress(NODES + 16 * FRAMES)
    early.write_u64(behind, FRAMES * 4096)
    early.write_u64(VirtualAddress(OBJECT + 8), behind)
    assert frames.alloc() == 0
    assert errors(early) == [0, 0, 1, 0, 0]


def test_a_node_with_the_address_of_another_frame_is_corruption(
    early: VirtualMemory, frames: FrameAllocator
) -> None:
    early.write_u64(VirtualAddress(node(0x8000)), 0x9000)
    assert frames.alloc() == 0
    assert errors(early) == [0, 0, 1, 0, 0]


@pytest.mark.parametrize(
    ("start", "size"),
    [
        (0, 0x1000),
        (0x1000, 0),
        (0x1001, 0x1000),
        (0x1000, 0xFFF),
        (0xFF000, 0x2000),
        (0x8000, 0x1000),
        (0x7000, 0x2000),
        (0x1000, -4096),
    ],
)
def test_setup_refuses_what_it_cannot_manage(
    early: VirtualMemory, frames: FrameAllocator, start: int, size: int
) -> None:
    before = early.read(NODES, 16 * FRAMES)
    assert not frames.setup(start, size)
    assert errors(early) == [0, 0, 0, 0, 1]
    assert (field(early, 552), frames.free_count) == (2, 6)
    assert early.read(NODES, 16 * FRAMES) == before


def test_at_most_32_ranges(early: VirtualMemory) -> None:
    heard: list[Event] = []
    frames = FrameAllocator.at(early, OBJECT, heard.append)
    frames.begin(PhysicalAddress(FRAMES * 4096), NODES)
    for number in reversed(range(1, 33)):
        assert frames.setup(number * 0x2000, 0x1000)
    assert not frames.setup(0x1000, 0x1000)
    assert (heard[-1].result, heard[-1].refusal) == (0, None)  # ignored, and no error
    assert errors(early) == [0, 0, 0, 0, 0]
    assert (field(early, 552), frames.free_count) == (32, 32)
    assert field(early, 40 + 16 * 31) == 0x2000
    assert frames.alloc() == 0x2000


def test_the_bulk_of_a_large_setup_is_one_push_after_the_other(early: VirtualMemory) -> None:
    # 70,000 frames: more than are written at once.
    count = 70_000
    large = FrameAllocator.at(early, OBJECT)
    large.begin(PhysicalAddress((count + 1) * 4096), NODES)
    large.setup(0x1000, 0x1000 * count)
    raw = early.read(NODES, 16 * (count + 1))
    expected = bytearray(16)
    for number in range(1, count + 1):
        expected += struct.pack("<QQ", number * 4096, NODES + 16 * (number + 1) if number < count else 0)
    assert raw == expected


def test_a_machine_without_its_nodes_stops(early: VirtualMemory, frames: FrameAllocator) -> None:
    # nodes_ itself is smashed: the kernel reads an address that is not mapped.
    early.write_u64(VirtualAddress(OBJECT + 16), 0x0000_1234_0000_0000)
    with pytest.raises(CpuException):
        frames.free(0x8000)


class FrameMachine(RuleBasedStateMachine):
    """The allocator against a plain Python stack."""

    def __init__(self) -> None:
        super().__init__()
        ram = PhysicalRange(PhysicalAddress(0), PhysicalAddress(1 << 20))
        self.memory = VirtualMemory(PhysicalMemory([ram]), PagingMode())
        self.frames = begun(self.memory)
        self.stack: list[int] = []
        self.taken: list[int] = []
        self.errors = [0] * 5

    @rule(first=st.integers(0x10, 0xF0), count=st.integers(1, 6))
    def setup(self, first: int, count: int) -> None:
        wanted = [number * 4096 for number in range(first, first + count)]
        known = {*self.stack, *self.taken}
        done = self.frames.setup(wanted[0], count * 4096)
        if known.isdisjoint(wanted) and field(self.memory, 552) <= 32 and done:
            self.stack += reversed(wanted)
        elif not known.isdisjoint(wanted):
            assert not done
            self.errors[ErrorKind.INVALID_POINTER] += 1
        else:
            self.errors[ErrorKind.OUT_OF_MEMORY] += 1

    @rule()
    def alloc(self) -> None:
        got = self.frames.alloc()
        if self.stack:
            assert got == self.stack.pop()
            self.taken.append(got)
        else:
            assert got == 0
            self.errors[ErrorKind.OUT_OF_MEMORY] += 1

    @precondition(lambda self: self.taken)
    @rule(data=st.data())
    def free(self, data: st.DataObject) -> None:
        frame = data.draw(st.sampled_from(self.taken))
        assert self.frames.free(frame)
        self.taken.remove(frame)
        self.stack.append(frame)

    @rule(address=st.integers(0, 0x110).map(lambda number: number * 2048))
    def free_anything(self, address: int) -> None:
        if address in self.taken:
            return
        assert not self.frames.free(address)
        kind = ErrorKind.DOUBLE_FREE if address in self.stack else ErrorKind.INVALID_POINTER
        self.errors[kind] += 1

    @invariant()
    def the_list_is_the_stack(self) -> None:
        listed, at = [], field(self.memory, 8)
        while at:
            frame, at = struct.unpack("<QQ", self.memory.read(VirtualAddress(at), 16))
            listed.append(frame)
        assert listed == self.stack[::-1]
        assert self.frames.free_count == len(self.stack)
        assert errors(self.memory) == self.errors
        for frame in self.taken:
            assert raw_node(self.memory, frame) == (0, 0)


TestFrameMachine = FrameMachine.TestCase
TestFrameMachine.settings = settings(max_examples=30, stateful_step_count=40)
