"""Processes and system calls of the kernel, followed by the model: the same steps, the same bytes."""

import struct
from collections.abc import Iterator

import pytest

from lab.stopped import BOOT_SECONDS
from model.block_list import HEADER_BYTES
from model.layouts import HEAP_BLOCK, PROCESS
from model.machine import Machine
from model.process import Process, ProcessState
from model.records import FrameNode, HeapBlock
from model.types import PAGE_BYTES, VirtualAddress
from tests.differential.kernel_side import Kernel, compare
from tests.differential.replay import Replay, replay

CONTEXT = range(PROCESS.member("context.r15").offset_bytes, PROCESS.size_bytes)
HEADER_FIELDS = ("size", "is_free", "next", "prev", "magic")


def physical_range(model: Machine, address: int, size_bytes: int) -> Iterator[range]:
    """Where a piece of kernel memory lies in physical memory."""
    for start in range(address, address + size_bytes):
        if start == address or start % PAGE_BYTES == 0:
            size = min(address + size_bytes, start // PAGE_BYTES * PAGE_BYTES + PAGE_BYTES) - start
            physical = model.memory.translate(VirtualAddress(start))
            yield range(physical, physical + size)


def left_open(model: Machine) -> Iterator[range]:
    """What the specification leaves open: registers, what is free, what programs have written."""
    for node in free_nodes(model):
        yield range(node.address, node.address + PAGE_BYTES)
    for process in model.processes:
        yield from physical_range(model, process.address + CONTEXT.start, len(CONTEXT))
        for page in user_pages(process):
            yield range(page, page + PAGE_BYTES)
    for block in kernel_blocks(model):
        if block.is_free:
            yield from physical_range(model, block.address + HEADER_BYTES, block.size_bytes)


def free_nodes(model: Machine) -> Iterator[FrameNode]:
    node = VirtualAddress(model.frames.fields.get("free_list_"))
    while node:
        address, previous = struct.unpack("<QQ", model.memory.read(node, 16))
        yield FrameNode(node, address, previous)
        node = VirtualAddress(previous)


def user_pages(process: Process) -> list[int]:
    """The frames of a process's pages, but for its code, which nobody writes."""
    memory = process.memory
    found: list[int] = []
    for start, end in (
        (memory.fields.get("data_start_"), memory.fields.get("data_end_")),
        (0x800_0000, memory.fields.get("heap_.heap_current_")),
        (0x4000_0000, 0x4010_0000),
        (memory.fields.get("stack_start_"), 0x8000_0000),
    ):
        pages = (memory.paging.find(memory.directory, page) for page in range(start, end, PAGE_BYTES))
        found += [page.physical for page in pages if page is not None]
    return found


def kernel_blocks(model: Machine) -> Iterator[HeapBlock]:
    for block in model.heap.blocks.walk(model.heap.blocks.extent()):
        assert isinstance(block, HeapBlock)
        yield block


def user_headers(kernel: Kernel, process: Process) -> list[tuple[int, str]]:
    """Header fields of the user heap that differ; every block of the model's list is looked at."""
    heap, user = process.memory.heap, process.memory.user
    differ: list[tuple[int, str]] = []
    blocks = list(heap.blocks.walk(heap.blocks.extent()))
    assert len(blocks) == heap.fields.get("num_blocks_")
    for block in blocks:
        assert isinstance(block, HeapBlock)
        for name in HEADER_FIELDS:
            member = HEAP_BLOCK.member(name)
            where = user.paging.find(user.directory, block.address + member.offset_bytes)
            assert where is not None
            theirs = int.from_bytes(kernel.physical(where.physical, member.size_bytes), "little")
            if theirs != getattr(block, {"size": "size_bytes"}.get(name, name)):
                differ.append((block.address, name))
    return differ


def arguments_of(kernel: Kernel, process: Process) -> tuple[bytes, bytes]:
    """The 128 bytes at the top of the stack, by the model and by the kernel."""
    user = process.memory.user
    where = user.paging.find(user.directory, 0x7FFF_FF80)
    assert where is not None
    return user.read(0x7FFF_FF80, 128) or b"", kernel.physical(where.physical, 128)


def test_at_every_pause_the_memory_is_the_same() -> None:
    lines = ["pause alpha", "leave", "churn", "pause beta gamma"]
    with replay("scenario=processes", lines) as both:
        gdb, model = both.kernel.gdb, both.model
        # Before any process has run: registers and all.
        gdb.run_to("coronel::run_all_processes", BOOT_SECONDS)
        both.follow()
        assert [process.pid for process in model.processes] == [1, 2, 3, 4]
        assert compare(both.kernel, model) == []
        for process, line in zip(model.processes, lines, strict=True):
            ours, theirs = arguments_of(both.kernel, process)
            assert ours == theirs
            assert ours.startswith(line.encode().partition(b" ")[2] + b"\0")

        pauses = 0
        for _ in range(10):
            gdb.run_to("coronel_checkpoint", BOOT_SECONDS)
            both.follow()
            if not list(model.processes):
                break
            pauses += 1
            assert [process.name for process in model.processes] == [b"pause.elf"] * 2
            for process in model.processes:
                model.system_calls.sys_pause(process)  # §14.7: all that are left have done so
                assert user_headers(both.kernel, process) == []
            assert compare(both.kernel, model, left_open(model)) == []
            if pauses == 1:
                check_that_differences_are_seen(both)
        assert pauses > 0
        assert both.calls[22] > 100
        assert compare(both.kernel, model, left_open(model)) == []


def check_that_differences_are_seen(both: Replay) -> None:
    """One field of each structure is changed in the kernel, and put back."""
    first = "g_process_list"
    for place in (
        f"{first}->memory.heap_.total_allocated_",
        f"{first}->memory.mmap_.free_mem_list_.first_->size",
        f"{first}->next->state",
        f"{first}->name[15]",
        "g_physical_manager->free_list_->previous",
    ):
        value = both.kernel.gdb.evaluate(f"(unsigned long){place}")
        both.kernel.gdb.run(f"set var {place} = {value ^ 1}")
        assert len(compare(both.kernel, both.model, left_open(both.model))) == 1, place
        both.kernel.gdb.run(f"set var {place} = {value}")
    assert next(iter(both.model.processes)).state == ProcessState.PAUSED


@pytest.mark.parametrize(
    ("memory", "lines", "refusals"),
    [
        # Every call with good and bad arguments, the frames used up twice by one process.
        ("32M", ["all_calls one two", "leave"], 20),
        # A stack that grows page by page, and one that uses up the frames.
        ("32M", ["stack deep", "stack hungry"], 20),
    ],
)
def test_every_step_of_every_call_is_the_same(memory: str, lines: list[str], refusals: int) -> None:
    with replay("scenario=processes", lines, memory) as both:
        both.kernel.gdb.run_to("coronel_checkpoint", BOOT_SECONDS)
        both.follow()
        assert len(both.lines_printed()) > refusals
        assert list(both.model.processes) == []
        assert compare(both.kernel, both.model, left_open(both.model)) == []


@pytest.mark.parametrize("frames_left", [0, 1, 3, 6, 22, 23])
def test_a_creation_is_undone_in_the_same_order(frames_left: int) -> None:
    """docs/spec.md §14.6a: 24 frames it needs; one less in each place."""
    with replay("scenario=boot,processes", ["leave", "leave"]) as both:
        gdb, model = both.kernel.gdb, both.model
        gdb.run_to("coronel_checkpoint", BOOT_SECONDS)
        cut_free_list(both, frames_left + 17)
        gdb.run_to("coronel_checkpoint", BOOT_SECONDS)
        both.follow()
        assert model.frames.free_count == frames_left
        assert compare(both.kernel, model, left_open(model)) == []
        assert model.processes.next_pid == 3


def cut_free_list(both: Replay, length: int) -> None:
    """Leave that many frames free, in both."""
    gdb, model = both.kernel.gdb, both.model
    node = model.frames.fields.get("free_list_")
    for _ in range(length - 1):
        node = model.memory.read_u64(VirtualAddress(node + 8))
    model.memory.write_u64(VirtualAddress(node + 8), 0)
    model.frames.fields.set("free_count_", length)
    gdb.run(f"set var ((physical::frame *){node:#x})->previous = 0")
    gdb.run(f"set var g_physical_manager->free_count_ = {length}")
