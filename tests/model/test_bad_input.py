"""Whatever is asked, of a sound machine or of a damaged one: an answer, or a stop that the model knows."""

import random
from collections.abc import Callable

import pytest

from model.errors import Stopped
from model.layouts import HEAP, HEAP_BLOCK, NODE, PHYSICAL, PROCESS, VIRT
from model.machine import Machine
from model.multiboot import MapEntry
from model.page_tables import PageFlags
from model.process import Process
from model.snapshot import violations
from model.types import PhysicalAddress, VirtualAddress
from tests.model.programs import program

MIB = 1 << 20
U64 = 1 << 64
SEEDS = 30
OPERATIONS = 40
PLACES = (
    *(
        0,
        1,
        15,
        16,
        4095,
        4096,
        65536,
        1 << 20,
        1 << 40,
        (1 << 40) + 1,
        1 << 47,
        1 << 63,
        U64 - 4096,
        U64 - 1,
    ),
    *(0x40_0000, 0x40_1000, 0x800_0000, 0x800_0030, 0x4000_0000, 0x5000_0000, 0x7000_0000),
    *(0x7F7F_F000, 0x7F80_0000, 0x7FFF_FF80, 0x8000_0000, 0x35_8000, 0x100_0000),
    *(0xFFFF_FFFF_8010_0000, 0xFFFF_FFFF_8033_6000, 0xFFFF_FFFF_8040_0000, 0xFFFF_FFFF_8040_0030),
    *(0xFFFF_FFFF_BFE0_0000, 0xFFFF_FFFF_C000_0000),
)


class Anything:
    """Random numbers in the shapes that break things."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def number(self) -> int:
        kind = self.random.randrange(4)
        if kind == 0:
            return self.random.getrandbits(64)
        if kind == 1:
            return self.random.getrandbits(self.random.randrange(1, 24))
        return (self.random.choice(PLACES) + self.random.choice((0, 0, 0, 1, 8, -8, 16, -16, 48, 4096))) % U64

    def one_of(self, *numbers: int) -> int:
        return self.random.choice((*numbers, self.number()))


def built(seed: int) -> tuple[Machine, list[Process]]:
    """A machine with a heap, holes in it, and two processes."""
    machine = Machine.boot([MapEntry(MIB, 6 * MIB)])
    made = [machine.processes.create(program(), "p", "x") for _ in range(2)]
    kept = [process for process in made if process is not None]
    blocks = [machine.kalloc(100 + seed % 7 * 50) for _ in range(8)]
    for pointer in blocks[::3]:
        machine.kfree(pointer)
    for process in kept:
        pointers = [machine.system_calls.sys_malloc(process, 40 * n) for n in range(1, 6)]
        machine.system_calls.sys_free(process, pointers[2])
        machine.system_calls.sys_mmap(process, 0, 3 * 4096, 3)
    return machine, kept


def calls_of_processes(machine: Machine, some: list[Process], any_: Anything) -> list[Callable[[], object]]:
    """What ring 3 can make the kernel do."""
    process, number = any_.random.choice(some), any_.number
    return [
        lambda: machine.system_calls.call(
            process, any_.random.randrange(1, 13), number(), number(), number()
        ),
        lambda: machine.system_calls.sys_mmap(process, any_.one_of(0, 0x4100_0000), number(), 3),
        lambda: machine.system_calls.sys_munmap(process, any_.one_of(0x4000_0000), any_.one_of(4096)),
        lambda: machine.system_calls.sys_free(process, any_.one_of(0x800_0030, 0x800_0090)),
        lambda: machine.system_calls.sys_realloc(process, any_.one_of(0x800_0030), number()),
        lambda: process.memory.grow_stack(any_.one_of(0x7FF0_0000)),
        lambda: process.memory.validate_user_pointer(number(), number(), write=True),
        lambda: smash(process, any_),
    ]


def smash(process: Process, any_: Anything) -> None:
    """The process overwrites a word of its heap: often a field of a header."""
    at = 0x800_0000 + 8 * any_.random.randrange(100)
    near = 0x800_0000 + 16 * any_.random.randrange(60)
    process.memory.user.write(
        at, any_.one_of(near, 0xDEADBEEFCAFEBABE, 0xFEEDFACEDEADC0DE).to_bytes(8, "little")
    )


def calls_of_the_kernel(machine: Machine, some: list[Process], any_: Anything) -> list[Callable[[], object]]:
    """Every public operation, with any argument."""
    number, heap, regions, frames, paging = (
        any_.number,
        machine.heap,
        machine.regions,
        machine.frames,
        machine.paging,
    )
    where = any_.one_of(machine.cr3, *(process.memory.directory for process in some))
    return [
        lambda: machine.placement_kalloc(number()),
        lambda: machine.kalloc(number()),
        lambda: machine.kfree(number()),
        lambda: heap.malloc(any_.random.randrange(3000)),
        lambda: heap.free(any_.one_of(0xFFFF_FFFF_8040_0030)),
        lambda: heap.realloc(any_.one_of(0xFFFF_FFFF_8040_0030), number()),
        lambda: heap.calloc(number(), number()),
        lambda: heap.aligned_alloc(any_.one_of(1 << any_.random.randrange(64)), number()),
        heap.validate_heap,
        lambda: regions.setup(number(), number()),
        lambda: regions.alloc(number()),
        lambda: regions.alloc_at(number(), number()),
        lambda: regions.free(number(), number()),
        lambda: frames.setup(number(), number()),
        frames.alloc,
        lambda: frames.free(any_.one_of(4096 * any_.random.randrange(2000))),
        lambda: paging.map(where, number(), number(), PageFlags(any_.random.randrange(16))),
        lambda: paging.unmap(where, number()),
        paging.create_page_directory,
        paging.create_user_page_directory,
        lambda: paging.mapio(number(), any_.random.getrandbits(20)),
        lambda: machine.processes.create(program(), "q", "y"),
        lambda: machine.processes.destroy(any_.random.choice(some)),
        lambda: [process.pid for process in machine.processes],
    ]


def damage(machine: Machine, some: list[Process], any_: Anything) -> None:
    """Change a few words, or bytes, of what the managers believe."""
    heap, regions = machine.heap.fields, machine.regions.fields
    structures = [
        (heap.address, HEAP.size_bytes),
        (regions.address, VIRT.size_bytes),
        (machine.frames.fields.address, PHYSICAL.size_bytes),
        (VirtualAddress(machine.frames.fields.get("free_list_")), 64),
        (VirtualAddress(regions.get("free_mem_list_.first_")), 3 * NODE.size_bytes),
        (VirtualAddress(heap.get("first_block_")), HEAP_BLOCK.size_bytes + 200),
        *((process.address, PROCESS.size_bytes) for process in some),
    ]
    tables = [process.memory.directory for process in some]
    below = machine.physical.read_u64(tables[0]) & 0x000F_FFFF_FFFF_F000
    for _ in range(any_.random.randrange(1, 6)):
        address, size = any_.random.choice(structures)
        at = VirtualAddress(address + 8 * any_.random.randrange(size // 8))
        old = machine.memory.read_u64(at)
        value = any_.random.choice((any_.number(), old ^ 1 << any_.random.randrange(64), 0, int(at), address))
        machine.memory.write_u64(at, value)
    if any_.random.random() < 0.3:
        table = any_.random.choice([*tables, below])
        slot = any_.random.choice((0, 1, 2, any_.random.randrange(511)))
        value = any_.random.choice((table | 7, any_.number(), 0x35_8000 | 7, machine.cr3 | 7))
        machine.physical.write_u64(PhysicalAddress(table + 8 * slot), value)


@pytest.mark.parametrize("seed", range(SEEDS // 2))
def test_no_process_stops_the_kernel(seed: int) -> None:
    any_ = Anything(seed)
    machine, some = built(seed)
    for _ in range(OPERATIONS):
        any_.random.choice(calls_of_processes(machine, some, any_))()
    # What it did to its own headers is its affair; nothing else is touched.
    broken = [each for each in violations(machine) if not each.invariant.id.startswith("user_heap.")]
    assert broken == []
    for process in list(machine.processes):
        machine.processes.destroy(process)
    assert violations(machine) == []


@pytest.mark.parametrize("seed", range(SEEDS))
def test_a_damaged_machine_answers_or_stops(seed: int) -> None:
    any_ = Anything(seed)
    machine, some = built(seed)
    damage(machine, some, any_)
    for _ in range(OPERATIONS):
        calls = calls_of_the_kernel(machine, some, any_) + calls_of_processes(machine, some, any_)
        stop = stopped_by(any_.random.choice(calls))
        if stop is not None:
            assert len(str(stop).splitlines()) == 1
            return


def stopped_by(call: Callable[[], object]) -> Stopped | None:
    """How the modelled kernel ended, if it did; anything else that is raised is a bug of the model."""
    try:
        call()
    except Stopped as stop:
        return stop
    return None


def test_any_bytes_are_no_program_or_one() -> None:
    from model.program import Program, ProgramRefused, parse
    from tests.model.programs import elf

    any_, whole = Anything(7), elf()
    for _ in range(3000):
        data = bytearray(whole)
        for _ in range(any_.random.randrange(1, 5)):
            data[any_.random.randrange(len(data))] = any_.random.getrandbits(8)
        cut = any_.random.choice((len(data), len(data), any_.random.randrange(len(data))))
        assert isinstance(parse(bytes(data[:cut])), Program | ProgramRefused)
