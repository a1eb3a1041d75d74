"""The state of a machine as records, and every invariant that it breaks (docs/invariants.md).

What a list refers to is followed only where it can be read, and each node once: a damaged machine gives a
snapshot, too. It is for tests and for whoever runs the model; the debugger's commands lift their own records.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Final, Generic, TypeVar

from model.address_space import WINDOW_BASE, linear_physical
from model.heap_blocks import RULES
from model.invariants import frames, heap, memory_map, paging, placement, processes, regions, user_heap
from model.invariants.base import Violation
from model.layouts import FRAME, HEAP, NODE, PHYSICAL, PROCESS, VIRT
from model.machine import Machine
from model.multiboot import managed_ranges
from model.page_entry import ADDRESS_BITS, ENTRIES_PER_TABLE, ENTRY_BYTES, PRESENT, Level, is_leaf
from model.paging import Mapping, walk_space
from model.process import Process
from model.records import (
    FrameManager,
    FrameNode,
    FrameUse,
    Heap,
    HeapBlock,
    Placed,
    Placement,
    Region,
    RegionManager,
    UserHeap,
)
from model.records import Process as ProcessRecord
from model.regions import RegionAllocator
from model.structure import Structure, decoder
from model.types import PAGE_BYTES, PhysicalAddress, VirtualAddress

MOST_PAGES: Final = 1 << 20  # of one address space; tables that refer to themselves have no end
_LOWER_HALF_END: Final = 1 << 63
_FRAME_NODE: Final = decoder(FRAME, "address", "previous")
_Node = TypeVar("_Node")


@dataclass(frozen=True, slots=True)
class Followed(Generic[_Node]):
    """The nodes of a list in its order, each once; `stop` is where it could not be followed on, or 0."""

    nodes: tuple[_Node, ...]
    stop: int


def follow(
    first: int, read: Callable[[int], _Node | None], successor: Callable[[_Node], int]
) -> Followed[_Node]:
    """The list that begins at `first`; `read` gives None where no node can be."""
    nodes: list[_Node] = []
    seen: set[int] = set()
    position = first
    while position and position not in seen:
        node = read(position)
        if node is None:
            break
        seen.add(position)
        nodes.append(node)
        position = successor(node)
    return Followed(tuple(nodes), position)


def _errors(fields: Structure, name: str = "errors_") -> tuple[int, ...]:
    """The five counters of a manager (§8.1)."""
    return tuple(fields.get(name, kind) for kind in range(5))


# Records.


def heap_record(machine: Machine) -> Heap:
    """The kernel heap's object."""
    fields = machine.heap.fields
    return Heap(
        address=fields.address,
        heap_start=VirtualAddress(fields.get("heap_start_")),
        heap_end=VirtualAddress(fields.get("heap_end_")),
        heap_size=fields.get("heap_size_"),
        first_block=VirtualAddress(fields.get("first_block_")),
        total_allocated=fields.get("total_allocated_"),
        total_free=fields.get("total_free_"),
        num_allocations=fields.get("num_allocations_"),
        num_frees=fields.get("num_frees_"),
        num_expansions=fields.get("num_expansions_"),
        errors=_errors(fields),
        locked=fields.get("lock_"),
    )


def heap_blocks(machine: Machine) -> Followed[HeapBlock]:
    """The kernel heap's blocks."""
    blocks, extent = machine.heap.blocks, machine.heap.blocks.extent()

    def read(address: int) -> HeapBlock | None:
        where = VirtualAddress(address)
        return blocks.read(where) if blocks.can_be_read(where, extent) else None

    return follow(machine.heap.fields.get("first_block_"), read, lambda block: block.next)


def frame_manager(machine: Machine) -> FrameManager:
    """The frame allocator's object."""
    fields = machine.frames.fields
    return FrameManager(
        address=fields.address,
        physical_end=PhysicalAddress(fields.get("physical_end_")),
        free_list=VirtualAddress(fields.get("free_list_")),
        nodes=VirtualAddress(fields.get("nodes_")),
        node_count=fields.get("node_count_"),
        free_count=fields.get("free_count_"),
        ranges=tuple(
            (PhysicalAddress(fields.get("ranges_", 2 * n)), PhysicalAddress(fields.get("ranges_", 2 * n + 1)))
            for n in range(min(fields.get("range_count_"), 32))
        ),
        errors=_errors(fields),
        locked=fields.get("lock_"),
    )


def free_frames(machine: Machine) -> Followed[FrameNode]:
    """The nodes of the free list."""
    memory = machine.memory

    def read(address: int) -> FrameNode | None:
        if not memory.is_mapped(address, FRAME.size_bytes):
            return None
        frame, previous = _FRAME_NODE.unpack(memory.read(VirtualAddress(address), FRAME.size_bytes))
        return FrameNode(VirtualAddress(address), frame, previous)

    return follow(machine.frames.fields.get("free_list_"), read, lambda node: node.previous)


def region_manager(allocator: RegionAllocator) -> RegionManager:
    """The object of a manager of regions."""
    fields = allocator.fields
    return RegionManager(
        address=fields.address,
        first=VirtualAddress(fields.get("free_mem_list_.first_")),
        last=VirtualAddress(fields.get("free_mem_list_.last_")),
        count=fields.get("free_mem_list_.count_"),
        spare=VirtualAddress(fields.get("spare_")),
        spare_count=fields.get("spare_count_"),
        start=VirtualAddress(fields.get("start_")),
        end=VirtualAddress(fields.get("end_")),
        errors=_errors(fields),
        locked=fields.get("lock_"),
    )


def region_nodes(allocator: RegionAllocator, first: str = "free_mem_list_.first_") -> Followed[Region]:
    """The nodes of the free list, or from `spare_` on."""

    def read(address: int) -> Region | None:
        mapped = allocator.fields.memory.is_mapped(address, NODE.size_bytes)
        return allocator.nodes.read(VirtualAddress(address)) if mapped else None

    return follow(allocator.fields.get(first), read, lambda region: region.next)


def user_heap_record(process: Process) -> UserHeap:
    """The object of a process's heap."""
    fields = process.memory.heap.fields
    return UserHeap(
        address=fields.address,
        heap_start=VirtualAddress(fields.get("heap_start_")),
        heap_current=VirtualAddress(fields.get("heap_current_")),
        heap_limit=VirtualAddress(fields.get("heap_limit_")),
        first_block=VirtualAddress(fields.get("first_block_")),
        page_directory=PhysicalAddress(fields.get("page_directory_")),
        total_allocated=fields.get("total_allocated_"),
        num_blocks=fields.get("num_blocks_"),
        errors=_errors(fields),
        locked=fields.get("lock_"),
    )


def user_blocks(process: Process) -> Followed[HeapBlock]:
    """The blocks of a process's heap."""
    blocks = process.memory.heap.blocks
    extent = blocks.extent()
    first = blocks.fields.get("first_block_")
    return follow(first, lambda address: blocks.read(address, extent), lambda block: block.next)


def process_record(process: Process) -> ProcessRecord:
    """One process with the ranges of its memory."""
    fields = process.memory.fields

    def bounds(name: str) -> tuple[VirtualAddress, VirtualAddress]:
        return VirtualAddress(fields.get(f"{name}_start_")), VirtualAddress(fields.get(f"{name}_end_"))

    name = PROCESS.member("name")
    where = VirtualAddress(process.address + name.offset_bytes)
    return ProcessRecord(
        address=process.address,
        pid=process.pid,
        state=process.state,
        exit_code=process.exit_code,
        next=process.next,
        name=fields.memory.read(where, name.count),
        page_directory=process.memory.directory,
        code=bounds("code"),
        data=bounds("data"),
        stack=bounds("stack"),
        heap=user_heap_record(process),
        mmap=region_manager(process.memory.mappings),
    )


def process_list(machine: Machine) -> Followed[Process]:
    """The processes of `g_process_list`."""

    def read(address: int) -> Process | None:
        mapped = machine.memory.is_mapped(address, PROCESS.size_bytes)
        return machine.processes.at(VirtualAddress(address)) if mapped else None

    return follow(machine.memory.read_u64(machine.processes.head), read, lambda process: process.next)


def placement_record(machine: Machine) -> Placement:
    """The placement allocator and the objects of the boot."""
    nodes = machine.frames.fields.get("nodes_")
    placed = (
        ("the frame allocator", machine.frames.fields.address, PHYSICAL.size_bytes),
        ("the virtual manager", machine.regions.fields.address, VIRT.size_bytes),
        ("the heap", machine.heap.fields.address, HEAP.size_bytes),
        ("the frame nodes", nodes, FRAME.size_bytes * machine.frames.fields.get("node_count_")),
    )
    objects = tuple(
        Placed(name, linear_physical(start), PhysicalAddress(linear_physical(start) + size_bytes))
        for name, start, size_bytes in placed
    )
    allocator = machine.placement
    return Placement(allocator.position, allocator.next_free, allocator.limit, objects)


def tables(machine: Machine, directory: PhysicalAddress, slots: range) -> Iterator[PhysicalAddress]:
    """The tables below the given entries of a directory, one for each entry that refers to one."""
    met: set[PhysicalAddress] = set()
    rest = [(directory, Level.PML4E, slots)]
    while rest:
        table, level, indices = rest.pop()
        data = machine.physical.read_table(table) or b""
        for index in indices if data else ():
            entry = int.from_bytes(data[ENTRY_BYTES * index :][:ENTRY_BYTES], "little")
            below = PhysicalAddress(entry & ADDRESS_BITS)
            if not entry & PRESENT or level == Level.PTE or is_leaf(entry, level):
                continue
            yield below
            if below not in met:
                met.add(below)
                rest.append((below, Level(level - 1), range(ENTRIES_PER_TABLE)))


def pages(machine: Machine, directory: PhysicalAddress) -> list[Mapping]:
    """The pages of an address space in ascending order, as far as there are not too many."""
    found = walk_space(machine.physical.read_table, directory, machine.memory.mode)
    return [page for page in islice(found, MOST_PAGES) if isinstance(page, Mapping)]


# Verdicts.


def violations(machine: Machine) -> list[Violation]:
    """Everything that does not hold, over all nouns."""
    ram = machine.physical.ram
    reserved = machine.placement.reserved
    end = machine.placement.end
    return [
        *memory_map.check_memory_map(ram, reserved, managed_ranges(ram, reserved, end), end),
        *placement.check_placement(placement_record(machine), reserved),
        *_of_frames(machine),
        *_of_kernel_space(machine),
        *_of_regions(machine.regions),
        *_of_heap(machine),
        *_of_processes(machine),
    ]


def _of_heap(machine: Machine) -> list[Violation]:
    blocks = heap_blocks(machine)
    return heap.check_heap(heap_record(machine), blocks.nodes, RULES, complete=not blocks.stop).violations


def _of_regions(allocator: RegionAllocator) -> list[Violation]:
    manager, listed, spares = (
        region_manager(allocator),
        region_nodes(allocator),
        region_nodes(allocator, "spare_"),
    )
    return [
        *regions.check_regions(manager, listed.nodes, stop=listed.stop),
        *regions.check_spares(manager, spares.nodes, listed.nodes, stop=spares.stop),
    ]


def _of_frames(machine: Machine) -> list[Violation]:
    manager, listed = frame_manager(machine), free_frames(machine)
    verdict = frames.check_frames(manager, listed.nodes, FRAME.size_bytes, stop=listed.stop)
    kernel = range(256, ENTRIES_PER_TABLE)
    window = linear_physical(machine.image.window_table)
    uses = [FrameUse(machine.cr3, "the kernel directory")]
    uses += [
        FrameUse(table, "a table of the kernel")
        for table in tables(machine, machine.cr3, kernel)
        if table != window
    ]
    for process in process_list(machine).nodes:
        uses += _uses_of(machine, process)
    free = {node.address for node in listed.nodes}
    mapped = [
        FrameUse(PhysicalAddress(page.physical), f"mapped at {page.virtual:#x}")
        for page in pages(machine, machine.cr3)
        if page.virtual < WINDOW_BASE
    ]
    return [
        *verdict.violations,
        *frames.check_frames_in_use(manager, uses, free),
        *frames.check_frames_in_use(manager, mapped, free, owned=False),
        *processes.check_owners(uses),
    ]


def _uses_of(machine: Machine, process: Process) -> Iterator[FrameUse]:
    """The frames that a process holds: directory, tables, pages."""
    directory, who = process.memory.directory, f"of process {process.pid}"
    yield FrameUse(directory, f"the directory {who}")
    for table in tables(machine, directory, range(256)):
        yield FrameUse(table, f"a table {who}")
    for page in pages(machine, directory):
        if page.virtual < _LOWER_HALF_END:
            yield FrameUse(page.physical, f"page {page.virtual:#x} {who}")


def _of_kernel_space(machine: Machine) -> list[Violation]:
    mapped = pages(machine, machine.cr3)
    window = linear_physical(machine.image.window_table)
    data = machine.physical.read(window, PAGE_BYTES)
    entries = [int.from_bytes(data[at : at + ENTRY_BYTES], "little") for at in range(0, PAGE_BYTES, 8)]
    return [
        *paging.check_pages(mapped),
        *paging.check_kernel_space(mapped, machine.image, machine.placement.end),
        *paging.check_tables(tables(machine, machine.cr3, range(ENTRIES_PER_TABLE))),
        *paging.check_windows(entries, window),
    ]


def _of_processes(machine: Machine) -> list[Violation]:
    listed = process_list(machine)
    records = [process_record(process) for process in listed.nodes]
    found = processes.check_processes(records, stop=listed.stop)
    slot = ENTRY_BYTES * (ENTRIES_PER_TABLE - 1)
    kernel_entry = machine.physical.read_u64(PhysicalAddress(machine.cr3 + slot))
    for process, record in zip(listed.nodes, records, strict=True):
        blocks = user_blocks(process)
        heap_verdict = user_heap.check_user_heap(
            record.heap, blocks.nodes, RULES, record.page_directory, stop=blocks.stop
        )
        found += heap_verdict.violations
        found += _of_regions(process.memory.mappings)
        entry = machine.physical.read_entry(PhysicalAddress(record.page_directory + slot)) or 0
        mapped = [page for page in pages(machine, record.page_directory) if page.virtual < _LOWER_HALF_END]
        found += processes.check_process_pages(record, mapped, entry, kernel_entry)
    return found
