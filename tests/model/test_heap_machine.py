"""The heap under random use, against a dictionary of what is live and what it holds."""

import struct
from collections.abc import Callable
from itertools import pairwise

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from model.errors import ErrorKind
from model.machine import Machine
from model.multiboot import MapEntry
from model.types import VirtualAddress

MIB = 1 << 20
HEAP = 0xFFFF_FFFF_8033_62D0
VIRT = 0xFFFF_FFFF_8033_6260
FREE, USED = 0xDEADBEEFCAFEBABE, 0xFEEDFACEDEADC0DE

sizes = st.one_of(st.integers(1, 200), st.integers(1, 5000), st.integers(1, 200_000))


class HeapMachine(RuleBasedStateMachine):
    """5 MiB of RAM: large blocks run out of frames now and then."""

    def __init__(self) -> None:
        super().__init__()
        self.machine = Machine.boot([MapEntry(MIB, 4 * MIB)])
        self.live: dict[int, bytes] = {}
        self.counts = [0, 0]  # allocations, frees
        self.errors = [0] * 5
        self.stamp = 0

    def word(self, address: int) -> int:
        return self.machine.memory.read_u64(VirtualAddress(address))

    def pattern(self, size: int) -> bytes:
        self.stamp += 1
        seed = self.stamp.to_bytes(2, "little") + size.to_bytes(3, "little")
        return (seed * (size // 5 + 1))[:size]

    def put(self, pointer: int, size: int) -> None:
        self.live[pointer] = self.pattern(size)
        self.machine.memory.write(VirtualAddress(pointer), self.live[pointer])

    def allocated(self, allocate: Callable[[], int], size: int, alignment: int = 16) -> int:
        """A new block, or a failure that changes no more than counters of errors and page tables."""
        before = self.machine.memory.read(VirtualAddress(HEAP), 72)
        pointer = allocate()
        if pointer == 0:
            # 5 MiB of frames run out before 1 GiB of addresses does.
            self.errors[ErrorKind.OUT_OF_MEMORY] += 1
            assert self.machine.memory.read(VirtualAddress(HEAP), 72) == before
            return 0
        assert pointer % alignment == 0
        assert pointer not in self.live
        self.counts[0] += 1
        self.put(pointer, size)
        return pointer

    @rule(size=sizes)
    def malloc(self, size: int) -> None:
        self.allocated(lambda: self.machine.kalloc(size), size)

    @rule(count=st.integers(1, 20), size=st.integers(1, 300))
    def calloc(self, count: int, size: int) -> None:
        held = []

        def allocate() -> int:
            pointer = self.machine.heap.calloc(count, size)
            if pointer:
                held.append(self.machine.memory.read(pointer, count * size))
            return pointer

        if self.allocated(allocate, count * size):
            assert held == [bytes(count * size)]

    @rule(alignment=st.integers(0, 14).map(lambda n: 1 << n), size=sizes)
    def aligned_alloc(self, alignment: int, size: int) -> None:
        self.allocated(lambda: self.machine.heap.aligned_alloc(alignment, size), size, alignment)

    @precondition(lambda self: self.live)
    @rule(data=st.data())
    def free(self, data: st.DataObject) -> None:
        pointer = data.draw(st.sampled_from(sorted(self.live)))
        assert self.machine.kfree(pointer)
        del self.live[pointer]
        self.counts[1] += 1
        # Its header, wherever it is now, tells a second free; the machine is asked to do it at once.
        assert not self.machine.kfree(pointer)
        self.errors[ErrorKind.DOUBLE_FREE] += 1

    @precondition(lambda self: self.live)
    @rule(data=st.data(), size=sizes)
    def realloc(self, data: st.DataObject, size: int) -> None:
        pointer = data.draw(st.sampled_from(sorted(self.live)))
        old = self.live[pointer]
        got = self.machine.heap.realloc(pointer, size)
        if got == 0:
            self.errors[ErrorKind.OUT_OF_MEMORY] += 1
            return
        kept = min(len(old), size)
        assert self.machine.memory.read(got, kept) == old[:kept]
        if got != pointer:
            assert size > len(old)
            assert got not in self.live
            self.counts[0] += 1
            self.counts[1] += 1
        del self.live[pointer]
        self.put(got, size)

    @precondition(lambda self: self.live)
    @rule(data=st.data(), offset=st.integers(1, 300))
    def free_inside(self, data: st.DataObject, offset: int) -> None:
        pointer = data.draw(st.sampled_from(sorted(self.live)))
        # Where a magic would be, there is data: 8 bytes at pointer + offset - 16.
        if offset % 16 or offset - 8 <= len(self.live[pointer]):
            assert not self.machine.kfree(pointer + offset)
            self.errors[ErrorKind.INVALID_POINTER] += 1

    @rule(pointer=st.integers(-100, (1 << 64) + 100), shrink=st.booleans())
    def garbage(self, pointer: int, shrink: bool) -> None:
        if pointer % (1 << 64) == 0 or self.word(HEAP) <= pointer % (1 << 64) < self.word(HEAP + 8) + 48:
            return
        if shrink:
            assert self.machine.heap.realloc(pointer, 1) == 0
        else:
            assert not self.machine.heap.free(pointer)
        self.errors[ErrorKind.INVALID_POINTER] += 1

    @rule(pages=st.integers(1, 4))
    def take_addresses(self, pages: int) -> None:
        """Somebody else uses the virtual manager: regions of the heap come to lie apart."""
        assert self.machine.regions.alloc(pages * 4096)

    @invariant()
    def blocks_tile_the_regions(self) -> None:
        blocks, previous, at = [], 0, self.word(HEAP + 24)
        while at:
            raw = self.machine.memory.read(VirtualAddress(at), 48)
            size, is_free, following, back, magic = struct.unpack("<QB7xQQQ8x", raw)
            assert back == previous
            assert (is_free, magic) in ((1, FREE), (0, USED))
            assert size % 16 == 0
            assert size >= 16
            blocks.append((at, size, is_free))
            previous, at = at, following
        assert {at + 48 for at, _, is_free in blocks if not is_free} == set(self.live)
        for (at, size, is_free), (after, _, after_free) in pairwise(blocks):
            if at + 48 + size == after:
                assert not (is_free and after_free)
            else:
                assert (at + 48 + size) % 4096 == 0
                assert after % 4096 == 0
        spans = sorted((at, at + 48 + size) for at, size, _ in blocks)
        assert all(end <= start for (_, end), (start, _) in pairwise(spans))
        if blocks:
            assert self.word(HEAP) == spans[0][0]
            assert self.word(HEAP + 8) == spans[-1][1]
        assert self.word(HEAP + 16) == sum(end - start for start, end in spans)
        assert self.word(HEAP + 32) == sum(size for _, size, is_free in blocks if not is_free)
        assert self.word(HEAP + 40) == sum(size for _, size, is_free in blocks if is_free)
        assert self.machine.heap.validate_heap()

    @invariant()
    def data_survives(self) -> None:
        for pointer, data in self.live.items():
            assert self.machine.memory.read(VirtualAddress(pointer), len(data)) == data

    @invariant()
    def counters_are_sums(self) -> None:
        assert [self.word(HEAP + 48), self.word(HEAP + 56)] == self.counts
        assert [self.word(HEAP + 72 + 8 * kind) for kind in ErrorKind] == self.errors


TestHeapMachine = HeapMachine.TestCase
TestHeapMachine.settings = settings(max_examples=50, stateful_step_count=40)
