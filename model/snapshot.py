"""The state of a machine as records, and every invariant that it breaks (docs/invariants.md).

What a list refers to is followed only where it can be read, and each node once: a damaged machine gives a
snapshot, too. It is for tests and for whoever runs the model; the debugger's commands lift their own records.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from model.address_space import IMAGE_END, linear_physical
from model.block_list import RULES
from model.claims import BootMemory, claims_of
from model.first_fit import FirstFit
from model.invariants import (
    borders,
    frames,
    heap,
    layout,
    memory_map,
    ownership,
    paging,
    placement,
    processes,
    regions,
    user_heap,
)
from model.invariants.base import Violation
from model.layouts import FRAME, HEAP, NODE, PHYSICAL, PROCESS, VIRT
from model.ledger import sweep
from model.machine import Machine
from model.multiboot import managed_ranges
from model.page_entry import ENTRIES_PER_TABLE, ENTRY_BYTES
from model.paging import FaultReason
from model.process import Process
from model.records import (
    FrameManager,
    FrameNode,
    Heap,
    HeapBlock,
    Placed,
    Placement,
    ProcessMemory,
    Region,
    RegionManager,
    UserHeap,
)
from model.records import Process as ProcessRecord
from model.regions import RegionAllocator
from model.spaces import Space, upper_differences, walk_whole
from model.structure import Structure, decoder
from model.types import PAGE_BYTES, PhysicalAddress, VirtualAddress

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
    return _blocks(machine.heap)


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
    return _blocks(process.memory.heap)


def _blocks(heap: FirstFit) -> Followed[HeapBlock]:
    extent, first = heap.blocks.extent(), heap.fields.get("first_block_")
    return follow(first, lambda address: heap.blocks.read(address, extent), lambda block: block.next)


def process_record(process: Process) -> ProcessRecord:
    """One process with the ranges of its memory."""
    fields = process.memory.fields

    def at(name: str) -> VirtualAddress:
        return VirtualAddress(fields.get(name))

    name = PROCESS.member("name")
    where = VirtualAddress(process.address + name.offset_bytes)
    return ProcessRecord(
        address=process.address,
        pid=process.pid,
        state=process.state,
        exit_code=process.exit_code,
        next=process.next,
        name=fields.memory.read(where, name.count),
        memory=ProcessMemory(
            process.memory.directory,
            at("code_start_"),
            at("code_end_"),
            at("data_start_"),
            at("data_end_"),
            at("stack_start_"),
            at("stack_end_"),
            user_heap_record(process),
            region_manager(process.memory.mappings),
        ),
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


def kernel_space(machine: Machine) -> Space:
    """The kernel directory, walked."""
    return walk_whole(machine.physical.read_table, "kernel", machine.cr3, machine.memory.mode)


def user_space(machine: Machine, process: ProcessRecord) -> tuple[Space, list[int]]:
    """The lower half of a process, walked, and the slots of its upper half that are not the kernel's."""
    read, root = machine.physical.read_table, process.memory.page_directory
    lower = range(ENTRIES_PER_TABLE // 2)
    space = walk_whole(read, f"process {process.pid}", root, machine.memory.mode, lower)
    return space, upper_differences(read, root, machine.cr3) or []


# Verdicts.


def violations(machine: Machine) -> list[Violation]:
    """Everything that does not hold, over all nouns."""
    ram = machine.physical.ram
    reserved = machine.placement.reserved
    end = machine.placement.end
    listed = process_list(machine)
    records = [process_record(process) for process in listed.nodes]
    kernel = kernel_space(machine)
    users = [user_space(machine, record) for record in records]
    found = [
        *memory_map.check_memory_map(ram, reserved, managed_ranges(ram, reserved, end), end),
        *placement.check_placement(placement_record(machine), reserved),
        *_of_frames(machine, kernel, [space for space, _ in users]),
        *_of_kernel_space(machine, kernel),
        *_of_regions(machine.regions),
        *_of_heap(machine),
        *processes.check_list(records, machine.image.process_list, stop=listed.stop),
    ]
    for process, record, (space, differing) in zip(listed.nodes, records, users, strict=True):
        found += borders.check_borders(space, kernel, differing)
        found += _of_process(process, record, space)
    found += _of_paging(machine, kernel, [space for space, _ in users])
    return found


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


def _of_frames(machine: Machine, kernel: Space, users: list[Space]) -> list[Violation]:
    """The list of free frames, and that every frame has one owner."""
    manager, listed = frame_manager(machine), free_frames(machine)
    boot = BootMemory(
        window_table=linear_physical(machine.image.window_table),
        image_end=linear_physical(IMAGE_END),
        placement_end=machine.placement.end,
        reserved=tuple((part.start, part.end) for part in machine.placement.reserved),
    )
    free = [(node.address, node.address + PAGE_BYTES) for node in listed.nodes]
    conflicts = ownership.check_owners(
        sweep(claims_of(boot, kernel, users, free)),
        manager.ranges,
        ram_end=manager.physical_end,
        lost_known=not listed.stop,
    )
    return [
        *frames.check_frames(manager, listed.nodes, FRAME.size_bytes, stop=listed.stop).violations,
        *(
            Violation(each.invariant, each.start, "frame", each.start, None, _claimants(each))
            for each in conflicts
        ),
    ]


def _claimants(conflict: ownership.Conflict) -> str:
    return " and ".join(claim.who for claim in conflict.claims)


def _of_kernel_space(machine: Machine, kernel: Space) -> list[Violation]:
    symbols, end = machine.image.sections(), machine.placement.end
    window = linear_physical(machine.image.window_table)
    data = machine.physical.read(window, PAGE_BYTES)
    entries = [int.from_bytes(data[at : at + ENTRY_BYTES], "little") for at in range(0, PAGE_BYTES, 8)]
    manager = region_manager(machine.regions)
    return [
        *layout.check_symbols(symbols),
        *layout.check_space(manager.start, manager.end, end),
        *layout.check_kernel_pages(kernel, layout.kernel_areas(symbols, end)),
        *borders.check_borders(kernel, kernel, ()),
        *paging.check_windows(entries, window),
    ]


def _of_paging(machine: Machine, kernel: Space, users: list[Space]) -> list[Violation]:
    """What holds for any kernel."""
    found: list[Violation] = []
    tables = sorted({table.address for space in (kernel, *users) for table in space.tables})
    for space in (kernel, *users):
        entries = {run.virtual: run.entry for run in space.runs}
        ranges = [run.range for run in space.runs]
        found += paging.check_ranges(ranges, entries.__getitem__)
        found += paging.check_tables(ranges, tables)
        found += paging.check_entries(
            (bad, machine.physical.read_entry(bad.entry_address) or 0)
            for bad in space.bad
            if bad.reason is FaultReason.RESERVED_BIT and bad.entry_address is not None
        )
    return found


def _of_process(process: Process, record: ProcessRecord, space: Space) -> list[Violation]:
    blocks = user_blocks(process)
    directory = record.memory.page_directory
    checked = user_heap.check_user_heap(record.memory.heap, blocks.nodes, RULES, directory, stop=blocks.stop)
    said = processes.areas(record, region_nodes(process.memory.mappings).nodes)
    return [
        *processes.check_fields(record),
        *processes.check_pages(space, said),
        *checked.violations,
        *_of_regions(process.memory.mappings),
    ]
