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
alignments = st.one_of(st.sampled_from([0, 1, 8, 16, 32, 64, 256, 4096, 1 << 20, 1 << 63]), st.integers(0, U64))


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


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_the_twin_is_the_model(data: st.DataObject) -> None:
    pair = Pair.boot(data.draw(st.sampled_from([4, 5, 16])) * MIB)
    directory = pair.machine.cr3
    given_out: list[int] = []
    frames: list[int] = []
    ranges: list[tuple[int, int]] = []
    pages: list[int] = []
    for _ in range(data.draw(st.integers(1, 60))):
        kind = data.draw(st.integers(0, 11))
        step: Step
        if kind <= 2:
            step = (O.HEAP_MALLOC, data.draw(sizes), 0, 0)
        elif kind <= 4:
            step = (O.HEAP_FREE, data.draw(hostile(given_out)), 0, 0)
        elif kind == 5:
            step = (O.HEAP_REALLOC, data.draw(hostile(given_out)), data.draw(sizes), 0)
        elif kind == 6:
            step = (O.HEAP_CALLOC, data.draw(counts), data.draw(sizes), 0)
        elif kind == 7:
            step = (O.HEAP_ALIGNED_ALLOC, data.draw(alignments), data.draw(sizes), 0)
        elif kind == 8 and frames and data.draw(st.booleans()):
            frame = data.draw(st.sampled_from(frames))
            # A frame that tables may own is never given back: no allocator could know.
            step = (O.PHYSICAL_FREE, data.draw(st.sampled_from([frame, frame, frame + 1, 0x1000, U64])), 0, 0)
            if step[1] in frames:
                frames.remove(step[1])
        elif kind == 8:
            step = (O.PHYSICAL_ALLOC, 0, 0, 0)
        elif kind == 9:
            manager = pair.twin.regions.address
            if ranges and data.draw(st.booleans()):
                start, size = ranges.pop(data.draw(st.integers(0, len(ranges) - 1)))
                step = (O.VIRT_FREE, start, data.draw(st.sampled_from([size, size, 0, size + 1])), manager)
                if step[2] == size + 1:  # it would give the next range away
                    step = (O.VIRT_FREE, start + 1, size, manager)
                    ranges.append((start, size))
                elif step[2] == 0:
                    ranges.append((start, size))
            elif data.draw(st.booleans()):
                at = pair.machine.regions.fields.get("end_") - 4096 * data.draw(st.integers(-2, 40))
                step = (O.VIRT_ALLOC_AT, at & U64, data.draw(sizes), manager)
            else:
                step = (O.VIRT_ALLOC, data.draw(sizes), manager, 0)
        elif kind == 10:
            at = data.draw(st.sampled_from([0x400000, 0x40000000, 0xFFFFFFFFC0000000, 0x800000000000, 0x401001]))
            at += 4096 * data.draw(st.integers(0, 3))
            root = data.draw(st.sampled_from([directory] * 6 + [0, 0x1001, 1 << 40]))
            step = (O.PAGING_MAP, root, at, data.draw(st.sampled_from([0x5000, 0x9000, 0x5001, 1 << 52])))
        else:
            at = data.draw(hostile(pages)) if pages else 0x400000
            step = (O.PAGING_UNMAP, directory, at if not 0xFFFFFFFF80000000 <= at < 0xFFFFFFFFC0000000 else 5, 0)
        result = pair.both(step)
        if result and O.HEAP_REALLOC <= step[0] <= O.HEAP_ALIGNED_ALLOC or step[0] == O.HEAP_MALLOC:
            given_out.append(result)
        elif step[0] == O.PHYSICAL_ALLOC and result:
            frames.append(result)
        elif step[0] in (O.VIRT_ALLOC, O.VIRT_ALLOC_AT) and result:
            ranges.append((result, (step[2] if step[0] == O.VIRT_ALLOC_AT else step[1]) + 4095 & ~4095))
        elif step[0] == O.PAGING_MAP and result:
            pages.append(step[2])
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
