"""Processes and system calls by hand (docs/spec.md §14, §15), on the 32 MiB machine."""

import pytest

from model.events import Event
from model.machine import Machine
from model.process import Process
from model.program import ProgramRefused, module_line, parse
from tests.model.heap_view import B
from tests.model.programs import elf, program

REFUSED = (1 << 64) - 1


@pytest.fixture
def process(machine: Machine) -> Process:
    made = machine.processes.create(program(), "name.elf", "one two")
    assert made is not None
    return made


def test_a_creation_by_hand(machine: Machine, process: Process) -> None:
    # §14.2a: the object is the heap's first block, the node of mmap_ its second. §7.8 took 17 frames
    # from 0x35d000 on, so the directory is the next frame.
    assert process.address == B + 48
    assert (process.pid, process.state, process.name) == (1, 0, b"name.elf")
    assert process.memory.directory == 0x36E000
    fields = process.memory.fields
    assert fields.get("mmap_.free_mem_list_.first_") == B + 48 + 480 + 48
    assert fields.get("stack_start_") == 0x7FFF_0000
    assert (fields.get("data_start_"), fields.get("data_end_")) == (0x40_1000, 0x40_2000)
    assert process.memory.user.read(0x7FFF_FF80, 8) == b"one two\0"
    assert process.memory.user.read(0x40_1000, 8) == b"data\0\0\0\0"
    assert machine.memory.read_u64(machine.processes.head) == process.address


def test_an_end_gives_everything_back(machine: Machine) -> None:
    machine.kfree(machine.kalloc(480))
    free = machine.frames.free_count
    made = [machine.processes.create(program(), f"p{n}", "") for n in range(3)]
    assert [each.pid for each in machine.processes] == [1, 2, 3]
    assert made[1] is not None
    machine.processes.destroy(made[1])
    assert [each.pid for each in machine.processes] == [1, 3]
    for each in list(machine.processes):
        machine.processes.destroy(each)
    assert machine.frames.free_count == free
    assert machine.heap.fields.get("total_allocated_") == 0
    last = machine.processes.create(program(), "p", "")
    assert last is not None
    assert last.pid == 4


def test_a_heap_by_hand(machine: Machine, process: Process) -> None:
    calls = machine.system_calls
    assert calls.sys_brk(process, 0x800_1388) == 0x800_2000
    assert calls.sys_malloc(process, 100) == 0x800_2030
    assert calls.sys_brk(process, 0x800_0000) == 0x801_2000
    assert calls.sys_malloc(process, 100) == 0x800_20D0
    assert calls.sys_free(process, 0x800_2030) == 0
    assert calls.sys_free(process, 0x800_2030) == REFUSED
    assert calls.sys_free(process, 0) == 0
    assert calls.sys_realloc(process, 0x800_20D0, 0) == 0
    assert calls.sys_calloc(process, 1 << 33, 1 << 33) == 0
    fields = process.memory.heap.fields
    assert [fields.get(name) for name in ("num_blocks_", "total_allocated_")] == [1, 0]
    assert [fields.get("errors_", kind) for kind in range(5)] == [1, 0, 0, 1, 0]


def test_mappings_by_hand(machine: Machine, process: Process) -> None:
    calls = machine.system_calls
    assert calls.sys_mmap(process, 0, 10_000, 3) == 0x4000_0000
    assert calls.sys_mmap(process, 0x6000_0000, 1, 1) == 0x6000_0000
    assert calls.sys_mmap(process, 0x6000_0000, 1, 1) == 0
    assert [calls.sys_mmap(process, 0, 4096, bits) for bits in (0, 2, 4, 5, 9)] == [0] * 5
    assert calls.sys_munmap(process, 0x4000_1000, 0x1000) == 0
    assert calls.sys_munmap(process, 0x4000_0000, 0x3000) == REFUSED
    assert calls.sys_munmap(process, 0x40_0000, 0x1000) == REFUSED
    assert calls.sys_mmap(process, 0, 1, 3) == 0x4000_1000


def test_pointers_and_writing(machine: Machine, process: Process) -> None:
    calls, valid = machine.system_calls, process.memory.validate_user_pointer
    assert valid(0x40_0000, 0x2000, write=False)
    assert not valid(0x40_0000, 1, write=True)
    assert valid(0x40_1FFF, 1, write=True)
    assert not valid(0x40_1FFF, 2, write=False)
    assert not valid(0x7FFE_FFFF, 1, write=False)
    assert not valid(REFUSED, 2, write=False)
    assert calls.sys_write(process, 0x40_1000, 6) == 6
    assert calls.sys_write(process, 0x40_1000, 0) == REFUSED
    assert bytes(calls.serial) == b"data.."
    assert process.memory.grow_stack(0x7FFE_0123)
    assert valid(0x7FFE_0000, 0x1000, write=True)
    assert not process.memory.grow_stack(0x7FFE_0123)
    assert not process.memory.grow_stack(0x7F7F_FFFF)
    assert calls.call(process, 11) == calls.call(process, REFUSED) == REFUSED
    assert (calls.call(process, 3), process.state) == (0, 1)
    assert (calls.call(process, 0, (1 << 32) + 7), process.state, process.exit_code) == (0, 2, 7)


def test_what_is_refused_is_said(machine: Machine, process: Process, events: list[Event]) -> None:
    machine.system_calls.sys_malloc(process, 0x3800_0000)
    machine.system_calls.sys_free(process, 0x800_0030)
    machine.system_calls.sys_mmap(process, 0x5000_0001, 1, 1)
    assert [event.line for event in events if event.line] == [
        "coronel: user heap: virtual space exhausted: 0x38001000",
        "coronel: user heap: invalid pointer: 0x8000030",
        "coronel: virt: invalid pointer: 0x50000001",
    ]


def test_lines_of_modules() -> None:
    assert module_line("/a/b/c.elf  x  y ") == ("c.elf", "x  y ")
    assert module_line("c.elf") == ("c.elf", "")


def test_files() -> None:
    assert parse(b"") == ProgramRefused("truncated")
    assert parse(elf()[:-1]) == ProgramRefused("truncated")
    assert parse(b"\x7fELF" + bytes(60)) == ProgramRefused("not for x86-64")
    assert not isinstance(parse(elf(data=None)), ProgramRefused)
