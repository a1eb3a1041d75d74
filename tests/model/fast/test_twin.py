"""The fast twin against the readable model: equal results, equal nested operations, equal bytes."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.events import Event, Part
from model.fast.machine import FastMachine
from model.fast.materialised import (
    Piece,
    frame_manager,
    headers,
    heap_object,
    page_tables,
    region_manager,
)
from model.layouts import HEAP_BLOCK
from model.machine import Machine
from model.multiboot import MapEntry
from model.page_tables import PageFlags
from model.trace import Operation as O
from model.types import PhysicalAddress, VirtualAddress

MIB = 1 << 20
U64 = (1 << 64) - 1
NAMES = {
    (Part.PHYSICAL, "alloc"): O.PHYSICAL_ALLOC,
    (Part.PHYSICAL, "free"): O.PHYSICAL_FREE,
    (Part.VIRT, "alloc"): O.VIRT_ALLOC,
    (Part.VIRT, "alloc_at"): O.VIRT_ALLOC_AT,
    (Part.VIRT, "free"): O.VIRT_FREE,
    (Part.PAGING, "map"): O.PAGING_MAP,
    (Part.PAGING, "unmap"): O.PAGING_UNMAP,
}
VOID = (O.PHYSICAL_FREE, O.VIRT_FREE)
Step = tuple[int, int, int, int]


@dataclass
class Pair:
    """The readable machine and its twin, and what the former reported."""

    machine: Machine
    twin: FastMachine
    events: list[Event] = field(default_factory=list)

    @staticmethod
    def boot(end: int) -> "Pair":
        events: list[Event] = []
        machine = Machine.boot([MapEntry(MIB, end - MIB)], listener=events.append)
        return Pair(machine, FastMachine.of(machine), events)

    def both(self, step: Step) -> int:
        """Do one operation on both; they must agree on its result and on all that it did on its way."""
        self.events.clear()
        expected = self.readable(*step)
        assert self.twin.perform(*step) == expected, step
        told = [self.told(event) for event in self.events if (event.part, event.operation) in NAMES]
        if step[0] <= O.PAGING_UNMAP:
            told.pop()
        assert [entry[:5] for entry in self.twin.nested()] == told, step
        return expected

    def told(self, event: Event) -> tuple[int, int, int, int, int]:
        number = NAMES[event.part, event.operation]
        arguments = event.arguments[:3]
        if event.part is Part.VIRT:
            arguments = (*arguments, self.machine.regions.fields.address)
        first, second, third = (*arguments, 0, 0, 0)[:3]
        return number, first, second, third, 0 if number in VOID else event.result

    def readable(self, operation: int, a: int, b: int, c: int) -> int:
        machine = self.machine
        heap, frames, regions, paging = machine.heap, machine.frames, machine.regions, machine.paging
        match operation:
            case O.HEAP_MALLOC:
                return heap.malloc(a)
            case O.HEAP_FREE:
                heap.free(a)
                return 0
            case O.HEAP_REALLOC:
                return heap.realloc(a, b)
            case O.HEAP_CALLOC:
                return heap.calloc(a, b)
            case O.HEAP_ALIGNED_ALLOC:
                return heap.aligned_alloc(a, b)
            case O.PHYSICAL_ALLOC:
                return frames.alloc()
            case O.PHYSICAL_FREE:
                frames.free(a)
                return 0
            case O.VIRT_ALLOC:
                return regions.alloc(a)
            case O.VIRT_ALLOC_AT:
                return regions.alloc_at(a, b)
            case O.VIRT_FREE:
                regions.free(a, b)
                return 0
            case O.PAGING_MAP:
                return int(paging.map(a, b, c, PageFlags.WRITE))
        return paging.unmap(a, b)

    def check(self) -> int:
        """Compare every byte that the twin says anything about; how many there were."""
        machine, compared = self.machine, 0
        virtual, physical = machine.memory.read, machine.physical.read
        for address, data in headers(self.twin.heap):
            found = virtual(VirtualAddress(address), HEAP_BLOCK.size_bytes)
            assert (found[:9], found[16:40]) == (data[:9], data[16:40]), hex(address)
            compared += 33
        nodes = machine.frames.fields.get("nodes_")
        pieces = [
            heap_object(self.twin.heap, machine.heap.fields.address),
            *frame_manager(self.twin, machine.frames.fields.address, nodes),
            *region_manager(self.twin),
        ]
        for piece in pieces:
            compared += same(piece, virtual(VirtualAddress(piece.address), len(piece.data)))
        for piece in page_tables(self.twin):
            compared += same(piece, physical(PhysicalAddress(piece.address), len(piece.data)))
        assert machine.heap.validate_heap()
        return compared


def same(piece: Piece, found: bytes) -> int:
    expected, mask, actual = (int.from_bytes(part, "little") for part in (piece.data, piece.mask, found))
    assert (expected ^ actual) & mask == 0, (piece.noun, hex(piece.address))
    return mask.bit_count() // 8


sizes = st.one_of(
    st.integers(0, 200), st.integers(0, 6000), st.integers(0, 300_000), st.integers(0, U64), st.just(1 << 40)
)
counts = st.one_of(st.integers(0, 40), st.integers(0, U64))
alignments = st.one_of(
    st.sampled_from([0, 1, 8, 16, 32, 64, 256, 4096, 1 << 20, 1 << 63]), st.integers(0, U64)
)


@st.composite
def hostile(draw: st.DrawFn, values: Sequence[int]) -> int:
    """One of the values, near it, or anything."""
    near = draw(st.sampled_from(values)) if values else 0
    return draw(
        st.one_of(
            st.just(near),
            st.just(near),
            st.integers(-200, 200).map(lambda delta: (near + delta) & U64),
            st.integers(0, U64),
        )
    )


@dataclass
class Caller:
    """Draws operations, sound ones and hostile ones, and knows what it was given."""

    pair: Pair
    data: st.DataObject
    blocks: list[int] = field(default_factory=list)
    frames: list[int] = field(default_factory=list)
    ranges: list[tuple[int, int]] = field(default_factory=list)
    pages: list[int] = field(default_factory=list)

    def draw(self, strategy: st.SearchStrategy[int]) -> int:
        return self.data.draw(strategy)

    def heap(self) -> None:
        step: Step
        match self.draw(st.integers(0, 6)):
            case 0 | 1:
                step = (O.HEAP_MALLOC, self.draw(sizes), 0, 0)
            case 2 | 3:
                step = (O.HEAP_FREE, self.draw(hostile(self.blocks)), 0, 0)
            case 4:
                step = (O.HEAP_REALLOC, self.draw(hostile(self.blocks)), self.draw(sizes), 0)
            case 5:
                step = (O.HEAP_CALLOC, self.draw(counts), self.draw(sizes), 0)
            case _:
                step = (O.HEAP_ALIGNED_ALLOC, self.draw(alignments), self.draw(sizes), 0)
        given = self.pair.both(step)
        if given:
            self.blocks.append(given)

    def frame(self) -> None:
        if not self.frames or self.draw(st.integers(0, 1)):
            given = self.pair.both((O.PHYSICAL_ALLOC, 0, 0, 0))
            self.frames += [given] if given else []
            return
        # A frame that tables may own is never given back: no allocator could know.
        frame = self.frames.pop()
        self.pair.both((O.PHYSICAL_FREE, frame, 0, 0))
        self.pair.both((O.PHYSICAL_FREE, self.draw(st.sampled_from([frame, frame + 1, 0x1000, U64])), 0, 0))

    def region(self) -> None:
        manager = self.pair.twin.regions.address
        match self.draw(st.integers(0, 3)):
            case 0 if self.ranges:
                start, size = self.ranges.pop(self.draw(st.integers(0, len(self.ranges) - 1)))
                self.pair.both((O.VIRT_FREE, start, 0, manager))
                self.pair.both((O.VIRT_FREE, start + 1, size, manager))
                self.pair.both((O.VIRT_FREE, start, size, manager))
                self.pair.both((O.VIRT_FREE, start, size, manager))
            case 1:
                end = self.pair.machine.regions.fields.get("end_")
                at = (end - 4096 * self.draw(st.integers(-2, 40))) & U64
                size = self.draw(sizes)
                if self.pair.both((O.VIRT_ALLOC_AT, at, size, manager)):
                    self.ranges.append((at, (size + 4095) & ~4095))
            case _:
                size = self.draw(sizes)
                start = self.pair.both((O.VIRT_ALLOC, size, manager, 0))
                self.ranges += [(start, (size + 4095) & ~4095)] if start else []

    def page(self) -> None:
        directory = self.pair.machine.cr3
        if self.pages and self.draw(st.integers(0, 1)):
            at = self.draw(hostile(self.pages))
            # The kernel's own pages are not to be taken away: nothing would be sound after that.
            kernels = 0xFFFFFFFF80000000 <= at < 0xFFFFFFFFC0000000
            self.pair.both((O.PAGING_UNMAP, directory, 5 if kernels else at, 0))
            return
        places = [0x400000, 0x40000000, 0xFFFFFFFFC0000000, 0x800000000000, 0x401001]
        at = self.draw(st.sampled_from(places)) + 4096 * self.draw(st.integers(0, 3))
        root = self.draw(st.sampled_from([directory] * 6 + [0, 0x1001, 1 << 40]))
        frame = self.draw(st.sampled_from([0x5000, 0x9000, 0x5001, 1 << 52]))
        if self.pair.both((O.PAGING_MAP, root, at, frame)):
            self.pages.append(at)


@settings(max_examples=40)
@given(data=st.data())
def test_the_twin_is_the_model(data: st.DataObject) -> None:
    pair = Pair.boot(data.draw(st.sampled_from([4, 5, 16])) * MIB)
    caller = Caller(pair, data)
    kinds = (caller.heap, caller.heap, caller.heap, caller.frame, caller.region, caller.page)
    for _ in range(data.draw(st.integers(1, 50))):
        kinds[data.draw(st.integers(0, len(kinds) - 1))]()
    assert not pair.twin.unsound
    assert pair.check() > 1000


def test_blocks_in_regions_that_do_not_touch() -> None:
    """First fit goes by the order of expansions where a later region lies at a lower address."""
    pair = Pair.boot(16 * MIB)
    manager = pair.twin.regions.address
    low = pair.both((O.VIRT_ALLOC, 0x40000, manager, 0))
    high = pair.both((O.HEAP_MALLOC, 60_000, 0, 0))
    pair.both((O.VIRT_ALLOC, 0x5000, manager, 0))
    far = pair.both((O.HEAP_MALLOC, 60_000, 0, 0))
    pair.both((O.VIRT_FREE, low, 0x40000, manager))
    back = pair.both((O.HEAP_MALLOC, 200_000, 0, 0))
    assert back < high < far
    small = [pair.both((O.HEAP_MALLOC, 1000, 0, 0)) for _ in range(20)]
    assert high < small[0] < far  # what is left of the oldest region comes first
    for pointer in (high, back, *small[::2], far, *small[1::2]):
        pair.both((O.HEAP_FREE, pointer, 0, 0))
    assert pair.both((O.HEAP_MALLOC, 200_000, 0, 0)) == back
    assert pair.check() > 1000


@pytest.mark.parametrize("count", [3000])
def test_a_long_list(count: int) -> None:
    """Buckets, their maxima and the levels above them, with thousands of blocks."""
    pair = Pair.boot(32 * MIB)
    pointers = [pair.twin.heap.malloc(16 + number * 37 % 3000) for number in range(count)]
    again = FastMachine.of(Pair.boot(32 * MIB).machine)
    assert [again.heap.malloc(16 + number * 37 % 3000) for number in range(count)] == pointers
    for pointer in pointers[::3]:
        pair.twin.heap.free(pointer)
    free = pair.twin.heap.index.sizes()
    for wanted in range(16, 4000, 48):
        fitting = [block for block in sorted(free) if free[block] >= wanted]
        assert pair.twin.heap.index.first(wanted) == fitting[0]
        assert [block for block, _ in pair.twin.heap.index.fits(wanted)] == fitting
