"""Processes of the fast twin against the readable model: results, nested operations, bytes, rights."""

from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.events import Event, Part
from model.fast.machine import FastMachine
from model.fast.materialised import page_tables
from model.fast.materialised_processes import (
    mmap_nodes,
    process_list,
    process_object,
    settle_rights,
    user_headers,
)
from model.layouts import HEAP_BLOCK, PROCESS
from model.machine import Machine
from model.multiboot import MapEntry
from model.process import Process
from model.program import Program, Segment
from model.trace import Operation as O
from model.trace import TraceRecord
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
    (Part.HEAP, "malloc"): O.HEAP_MALLOC,
    (Part.HEAP, "free"): O.HEAP_FREE,
}
VOID = (O.PHYSICAL_FREE, O.VIRT_FREE, O.HEAP_FREE)
NUMBERS = {16: 4, 17: 5, 18: 6, 19: 7, 20: 8, 21: 9, 22: 10}
MANAGER: dict[int, int] = {O.VIRT_ALLOC: 1, O.VIRT_ALLOC_AT: 2, O.VIRT_FREE: 2}


@dataclass
class Pair:
    """The readable machine and its twin, and what the former did on its way."""

    machine: Machine
    twin: FastMachine
    events: list[Event] = field(default_factory=list)

    @staticmethod
    def boot(end: int) -> "Pair":
        events: list[Event] = []
        machine = Machine.boot([MapEntry(MIB, end - MIB)], listener=events.append)
        return Pair(machine, FastMachine.of(machine), events)

    def both(self, operation: int, space: int, *words: int) -> int:
        """Do one operation on both; they must agree on its result and on all that it did on its way."""
        self.events.clear()
        expected = self.readable(operation, space, *words)
        first, second, third = (*words, 0, 0, 0)[:3]
        record = TraceRecord(0, operation, 0, 0, first, second, third, expected, 0, space)
        told = [self.told(event) for event in self.events if (event.part, event.operation) in NAMES]
        processes = self.twin.processes
        assert processes.can(record)
        assert not processes.doubtful(record, maps=bool(told))
        assert processes.perform(record) == expected, record
        assert self.done() == told, record
        return expected

    def told(self, event: Event) -> tuple[int, ...]:
        """An event as a nested record, but for the manager of a region: no event tells whose it is."""
        number = NAMES[event.part, event.operation]
        given = 0 if number in VOID else event.result
        first, second, third = (*event.arguments[:3], 0, 0, 0)[:3]
        return number, first, second, third, given

    def done(self) -> list[tuple[int, ...]]:
        """What the twin did on its way, likewise."""
        entries = []
        for number, *words, result, _ in self.twin.nested():
            if number in MANAGER:
                words[MANAGER[number]] = 0
            entries.append((number, *words, result))
        return entries

    def live(self) -> list[Process]:
        return list(self.machine.processes)

    def readable(self, operation: int, space: int, *words: int) -> int:
        if operation == O.PROCESS_CREATE:
            process = self.machine.processes.create_object("x")
            return process.address if process is not None else 0
        if operation == O.PROCESS_DESTROY:
            (process,) = [process for process in self.live() if process.pid == words[0]]
            self.machine.processes.destroy(process)
            return 0
        (process,) = [process for process in self.live() if process.memory.directory == space]
        if operation == O.STACK_GROWTH:
            return int(process.memory.grow_stack(words[0]))
        return self.machine.system_calls.call(process, NUMBERS[operation], *words)

    def check(self) -> int:
        """Compare every byte that the twin says anything about; how many there were."""
        machine, compared = self.machine, 0
        live = list(self.twin.processes.live.values())
        pieces = [process_list(self.twin)]
        for process, after in zip(live, [*(other.address for other in live[1:]), 0], strict=False):
            found = machine.memory.read(VirtualAddress(process.address), PROCESS.size_bytes)
            settle_rights(self.twin, process, found)
            pieces += [process_object(process, after, found), *mmap_nodes(process)]
            user = machine.processes.at(VirtualAddress(process.address)).memory.user
            for address, data in user_headers(process):
                there = user.read(address, HEAP_BLOCK.size_bytes)
                assert there is not None
                assert (there[:9], there[16:40]) == (data[:9], data[16:40]), hex(address)
                compared += 33
        for piece in (*pieces, *page_tables(self.twin)):
            if piece.noun == "page table":
                found = machine.physical.read(PhysicalAddress(piece.address), len(piece.data))
            else:
                found = machine.memory.read(VirtualAddress(piece.address), len(piece.data))
            expected, mask, actual = (
                int.from_bytes(part, "little") for part in (piece.data, piece.mask, found)
            )
            assert (expected ^ actual) & mask == 0, (piece.noun, hex(piece.address))
            compared += mask.bit_count() // 8
        return compared


sizes = st.one_of(st.integers(0, 300), st.integers(0, 9000), st.integers(0, 300_000), st.integers(0, U64))
lengths = st.one_of(st.integers(0, 8).map(lambda pages: 4096 * pages), st.integers(0, 40_000))


@dataclass
class Caller:
    """Draws system calls, sound ones and hostile ones, and knows what it was given."""

    pair: Pair
    data: st.DataObject
    blocks: list[int] = field(default_factory=lambda: [0])
    ranges: list[int] = field(default_factory=lambda: [0x4000_0000])
    pid: int = 0

    def pick(self, *values: int) -> int:
        return self.data.draw(st.sampled_from(values))

    def size(self) -> int:
        return self.data.draw(sizes)

    def create(self) -> None:
        self.pid += 1
        self.pair.both(O.PROCESS_CREATE, 0, self.pid)

    def of_heap(self, space: int) -> None:
        near = (self.pick(*self.blocks) + self.pick(0, 0, 0, 0, 16, 8, -48)) & U64
        match self.pick(0, 0, 0, 1, 2, 2, 3):
            case 0:
                self.blocks.append(self.pair.both(O.SYS_MALLOC, space, self.size()))
            case 1:
                self.blocks.append(self.pair.both(O.SYS_CALLOC, space, self.pick(0, 1, 2, 9), self.size()))
            case 2:
                self.pair.both(O.SYS_FREE, space, near)
            case _:
                self.blocks.append(self.pair.both(O.SYS_REALLOC, space, near, self.size()))

    def of_pages(self, space: int) -> None:
        start = self.pick(*self.ranges) + self.pick(0, 0, 0, 4096, 1)
        length = self.data.draw(lengths)
        match self.pick(0, 0, 1, 2, 3):
            case 0:
                words = (self.pick(0, 0, 0, start), length, self.pick(3, 3, 1, 2, 7))
                self.ranges.append(self.pair.both(O.SYS_MMAP, space, *words) or 0x4000_0000)
            case 1:
                self.pair.both(O.SYS_MUNMAP, space, start, length)
            case 2:
                down = self.pick(*range(40)) * 4096 + 3
                self.pair.both(O.STACK_GROWTH, space, 0x7FFF_0000 - down)
            case _:
                end = self.pick(0, 0x800_0001, 0x801_0000, 0x800_0000, 0x4000_0001)
                self.pair.both(O.SYS_BRK, space, end)


@settings(max_examples=30)
@given(data=st.data())
def test_the_processes_of_the_twin_are_the_models(data: st.DataObject) -> None:
    pair = Pair.boot(data.draw(st.sampled_from([5, 6, 16])) * MIB)
    caller = Caller(pair, data)
    for _ in range(data.draw(st.integers(2, 40))):
        live = pair.live()
        if not live or (len(live) < 3 and caller.pick(*range(8)) == 0):
            caller.create()
            continue
        process = data.draw(st.sampled_from(live))
        match caller.pick(*range(14)):
            case 0:
                pair.both(O.PROCESS_DESTROY, 0, process.pid)
            case kind if kind % 2:
                caller.of_heap(process.memory.directory)
            case _:
                caller.of_pages(process.memory.directory)
    assert not pair.twin.processes.doubts
    assert pair.check() > 1000
    for process in pair.live():
        pair.both(O.PROCESS_DESTROY, 0, process.pid)
    assert pair.check() > 1000


@pytest.mark.parametrize(
    ("code_pages", "data_start", "data_pages"),
    [(2, 0x40_2000, 3), (2, 0x50_0000, 1), (1, 0x40_1000, 0), (3, 0x40_3000, 1)],
)
def test_a_program_is_parted_where_the_kernel_parts_it(
    code_pages: int, data_start: int, data_pages: int
) -> None:
    pair = Pair.boot(16 * MIB)
    pair.both(O.PROCESS_CREATE, 0, 1)
    (process,) = pair.live()
    code = Segment(VirtualAddress(0x40_0000), 4096 * code_pages, b"code")
    data = Segment(VirtualAddress(data_start if data_pages else 0), 4096 * data_pages, b"")
    pair.events.clear()
    assert pair.machine.processes.load(process, Program(VirtualAddress(0x40_0000), code, data), b"")
    for event in pair.events:
        if (event.part, event.operation) == (Part.PAGING, "map"):
            directory, page, frame = event.arguments[:3]
            assert pair.twin.perform(O.PHYSICAL_ALLOC, 0, 0, 0) == frame
            assert pair.twin.perform(O.PAGING_MAP, directory, page, frame) == 1
    pair.twin.nested()
    assert pair.check() > 1000
    # One byte of the object, or one right of a page, that is not so is seen.
    end = PROCESS.member("memory.code_end_").offset_bytes
    where = VirtualAddress(process.address + end)
    pair.machine.memory.write_u64(where, 0x40_0000 + 4096 * code_pages + 1)
    with pytest.raises(AssertionError):
        pair.check()


def test_a_header_written_by_the_process_is_no_divergence_of_the_kernel() -> None:
    pair = Pair.boot(16 * MIB)
    pair.both(O.PROCESS_CREATE, 0, 1)
    (process,) = pair.live()
    space = process.memory.directory
    one = pair.both(O.SYS_MALLOC, space, 100)
    process.memory.user.write(one - 48, b"\0" * 8)
    given = pair.machine.system_calls.call(process, 5, one)
    record = TraceRecord(9, O.SYS_FREE, 0, 0, one, 0, 0, given, 0, space)
    processes = pair.twin.processes
    expected = processes.perform(record)
    assert (given, expected) == (U64, 0)
    assert processes.excuses(record, expected)
    assert (processes.doubts[0].pid, processes.doubts[0].record) == (1, record)
    assert not processes.can(record)
    # What no header explains is the kernel's: a block outside of the heap.
    pair.both(O.PROCESS_CREATE, 0, 2)
    other = pair.live()[1].memory.directory
    wild = TraceRecord(10, O.SYS_MALLOC, 0, 0, 100, 0, 0, 0x4000_0030, 0, other)
    assert not processes.excuses(wild, 0)
