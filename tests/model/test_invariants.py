"""Every invariant has a healthy and a damaged specimen; the document lists them all."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from lab.documents.reference import INVARIANTS
from model.address_space import IMAGE_START, KERNEL_BASE, WINDOW_BASE, linear_physical
from model.block_list import FREE, RULES
from model.invariants import (
    boot,
    catalogue,
    chunks,
    layout,
    locks,
    memory_map,
    placed_frames,
    placement,
    runs,
    table_entries,
    trace,
)
from model.invariants import frame_manager as frame_manager_rules
from model.invariants.frames import check_frames
from model.invariants.heap import check_heap
from model.invariants.regions import check_spares
from model.layouts import FRAME
from model.machine import Machine
from model.memory import PhysicalRange
from model.page_entry import Level, table_index
from model.page_tables import PageFlags
from model.process import Process
from model.records import FrameNode, Trace, TraceRecord
from model.snapshot import (
    frame_manager,
    free_frames,
    heap_blocks,
    heap_record,
    placement_record,
    region_manager,
    region_nodes,
    violations,
)
from model.types import PhysicalAddress, VirtualAddress
from tests.model.programs import program

MIB = 1 << 20
V0 = 0xFFFF_FFFF_8040_0000
SPARE_FRAME = 0x100_0000
Break = Callable[[Machine, Process, Process], object]


@pytest.fixture
def busy(machine: Machine) -> tuple[Machine, Process, Process]:
    """A machine with two processes that have used their memory."""
    first, second = (machine.processes.create(program(), name, name) for name in ("one", "two"))
    assert first is not None
    assert second is not None
    calls = machine.system_calls
    blocks = [calls.sys_malloc(first, size) for size in (100, 200, 300, 400)]
    calls.sys_free(first, blocks[1])
    calls.sys_mmap(second, 0, 0x3000, 3)
    calls.sys_mmap(second, 0x5000_0000, 0x1000, 1)
    kernel = [machine.kalloc(64) for _ in range(6)]
    machine.kfree(kernel[2])
    machine.heap.malloc(100_000)
    machine.paging.mapio(0xFEE0_0000, 0x1000)
    return machine, first, second


def test_a_machine_in_use_breaks_none(busy: tuple[Machine, Process, Process]) -> None:
    assert violations(busy[0]) == []


def entry_address(machine: Machine, directory: int, virtual: int, level: Level) -> PhysicalAddress:
    """Where the entry of a level for an address lies."""
    table = directory
    for above in (Level.PML4E, Level.PDPTE, Level.PDE, Level.PTE):
        where = PhysicalAddress(table + 8 * table_index(virtual, above))
        if above == level:
            return where
        table = machine.physical.read_u64(where) & 0x000F_FFFF_FFFF_F000
    raise AssertionError(level)


def set_entry(machine: Machine, directory: int, virtual: int, value: int, level: Level = Level.PTE) -> None:
    machine.physical.write_u64(entry_address(machine, directory, virtual, level), value)
    machine.memory.load_cr3(machine.cr3)


def change_entry(machine: Machine, directory: int, virtual: int, bits: int) -> None:
    where = entry_address(machine, directory, virtual, Level.PTE)
    machine.physical.write_u64(where, machine.physical.read_u64(where) ^ bits)


def user_write(process: Process, address: int, value: int) -> None:
    assert process.memory.user.write(address, value.to_bytes(8, "little"))


def first_free(machine: Machine) -> VirtualAddress:
    return VirtualAddress(machine.frames.fields.get("free_list_"))


def first_block(machine: Machine) -> VirtualAddress:
    return VirtualAddress(machine.heap.fields.get("first_block_"))


def node(machine: Machine, index: int) -> VirtualAddress:
    return region_nodes(machine.regions).nodes[index].node


def page_of(process: Process, virtual: int) -> int:
    found = process.memory.paging.find(process.memory.directory, virtual)
    assert found is not None
    return found.physical


def cut_region(machine: Machine) -> None:
    """Two regions instead of one, and the first reaches into the second."""
    machine.regions.alloc_at(V0 + 0x100_0000, 0x1000)
    machine.memory.write_u64(VirtualAddress(node(machine, 0) + 8), 0x100_2000)


def free_first_two(machine: Machine) -> None:
    block = machine.heap.blocks.read(first_block(machine), machine.heap.blocks.extent())
    assert block is not None
    for address in (block.address, block.next):
        machine.heap.blocks.set_state(address, FREE)


def set_page(machine: Machine, process: Process, virtual: int, physical: int) -> None:
    """The page of the process leads to another frame, for reading and writing."""
    set_entry(machine, process.memory.directory, virtual, physical | 1 << 63 | 7)


def table_of(machine: Machine, directory: int, virtual: int) -> PhysicalAddress:
    """The last table of the walk."""
    return PhysicalAddress(entry_address(machine, directory, virtual, Level.PTE) & -4096)


def map_kernel(machine: Machine, physical: int) -> None:
    machine.paging.map(machine.cr3, WINDOW_BASE - 0x1000, physical, PageFlags.WRITE)


def free_by_hand(machine: Machine, physical: int) -> None:
    """A node that no range allows, in front of the list."""
    nodes, first = machine.frames.fields.get("nodes_"), first_free(machine)
    at = VirtualAddress(nodes + physical // 4096 * FRAME.size_bytes)
    machine.memory.write_u64(at, physical)
    machine.memory.write_u64(VirtualAddress(at + 8), first)
    machine.frames.fields.set("free_list_", at)


def share_table(machine: Machine) -> None:
    """The table of V0 once more, for the 2 MiB behind."""
    entry = machine.physical.read_u64(entry_address(machine, machine.cr3, V0, Level.PDE))
    set_entry(machine, machine.cr3, V0 + 0x20_0000, entry, Level.PDE)


def open_to_ring_3(machine: Machine, virtual: int) -> None:
    for level in (Level.PML4E, Level.PDPTE, Level.PDE, Level.PTE):
        where = entry_address(machine, machine.cr3, virtual, level)
        machine.physical.write_u64(where, machine.physical.read_u64(where) | 4)


U = 1 << 63 - 1
BREAKS: dict[str, Break] = {
    # heap
    "heap.magic": lambda m, a, b: m.memory.write_u64(VirtualAddress(first_block(m) + 32), 0),
    "heap.state": lambda m, a, b: m.memory.write(VirtualAddress(first_block(m) + 8), b"\1"),
    "heap.size": lambda m, a, b: m.memory.write_u64(first_block(m), 496),
    "heap.prev": lambda m, a, b: m.memory.write_u64(VirtualAddress(first_block(m) + 24), 1),
    "heap.unmerged": lambda m, a, b: free_first_two(m),
    "heap.total_allocated": lambda m, a, b: m.heap.fields.add("total_allocated_", 16),
    "heap.total_free": lambda m, a, b: m.heap.fields.add("total_free_", -16),
    "heap.live": lambda m, a, b: m.heap.fields.add("num_frees_", 1),
    "heap.heap_size": lambda m, a, b: m.heap.fields.add("heap_size_", 4096),
    "heap.heap_start": lambda m, a, b: m.heap.fields.add("heap_start_", -4096),
    "heap.heap_end": lambda m, a, b: m.heap.fields.add("heap_end_", 4096),
    # frames
    "frames.address": lambda m, a, b: m.memory.write_u64(first_free(m), 0x1000),
    "frames.cycle": lambda m, a, b: m.memory.write_u64(VirtualAddress(first_free(m) + 8), first_free(m)),
    "frames.free_count": lambda m, a, b: m.frames.fields.add("free_count_", 1),
    "frames.end": lambda m, a, b: m.memory.write_u64(VirtualAddress(first_free(m) + 8), U),
    "frames.managed": lambda m, a, b: m.frames.fields.set("ranges_", 0x180_0000, 0),
    "frames.node": lambda m, a, b: m.memory.write_u64(
        VirtualAddress(first_free(m) + 8), m.frames.fields.get("nodes_") + 8
    ),
    # owners of frames
    "owner.user_table": lambda m, a, b: set_page(m, a, 0x40_1000, a.memory.directory),
    "owner.two_processes": lambda m, a, b: set_page(m, a, 0x40_1000, page_of(b, 0x40_1000)),
    "owner.user_kernel": lambda m, a, b: set_page(m, a, 0x40_1000, 0x5000),
    "owner.free_table": lambda m, a, b: m.frames.free(table_of(m, a.memory.directory, 0x40_0000)),
    "owner.free_mapped": lambda m, a, b: m.frames.free(page_of(a, 0x40_0000)),
    "owner.free_reserved": lambda m, a, b: free_by_hand(m, linear_physical(IMAGE_START)),
    "owner.mapped_table": lambda m, a, b: map_kernel(m, table_of(m, a.memory.directory, 0x40_0000)),
    "owner.shared_table": lambda m, a, b: share_table(m),
    "owner.foreign_table": lambda m, a, b: set_entry(
        m, a.memory.directory, 0x60_0000, linear_physical(IMAGE_START) | 7, Level.PDE
    ),
    "owner.mapped_twice": lambda m, a, b: map_kernel(m, m.memory.translate(VirtualAddress(V0))),
    "owner.device_ram": lambda m, a, b: m.paging.mapio(m.memory.translate(VirtualAddress(V0)), 16),
    "owner.outside": lambda m, a, b: map_kernel(m, 0xFF_FFFF_F000),
    "owner.lost": lambda m, a, b: m.frames.alloc(),
    # paging
    "paging.w^x": lambda m, a, b: change_entry(m, m.cr3, IMAGE_START, 2),
    "paging.null": lambda m, a, b: m.paging.map(m.cr3, 0x1000, SPARE_FRAME, PageFlags.WRITE),
    "paging.user": lambda m, a, b: open_to_ring_3(m, V0),
    "paging.table": lambda m, a, b: set_page(m, a, 0x40_1000, a.memory.directory),
    "paging.reserved": lambda m, a, b: set_entry(m, m.cr3, 0xFFFF_9000_0000_0000, 0x83, Level.PML4E),
    "paging.window": lambda m, a, b: m.memory.write_u64(m.image.window_table, SPARE_FRAME | 3),
    # the kernel's address space
    "layout.rights": lambda m, a, b: change_entry(m, m.cr3, V0, 1 << 4),
    "layout.place": lambda m, a, b: m.paging.map(m.cr3, KERNEL_BASE, SPARE_FRAME, PageFlags.WRITE),
    "layout.missing": lambda m, a, b: change_entry(m, m.cr3, IMAGE_START, 1),
    "layout.linear": lambda m, a, b: set_entry(m, m.cr3, 0xFFFF_FFFF_8033_0000, SPARE_FRAME | 1 << 63 | 3),
    "layout.space": lambda m, a, b: m.regions.fields.add("start_", -4096),
    # the border of the halves
    "space.user_bit": lambda m, a, b: change_entry(m, m.cr3, V0, 4),
    "space.upper_half": lambda m, a, b: m.physical.write_u64(
        PhysicalAddress(a.memory.directory + 511 * 8), 0
    ),
    "space.lower_half": lambda m, a, b: m.paging.map(m.cr3, 0x50_0000, SPARE_FRAME, PageFlags.WRITE),
    # regions
    "regions.aligned": lambda m, a, b: m.memory.write_u64(VirtualAddress(node(m, 0) + 8), 0x1001),
    "regions.inside": lambda m, a, b: m.memory.write_u64(VirtualAddress(node(m, 0)), KERNEL_BASE),
    "regions.order": lambda m, a, b: cut_region(m),
    "regions.prev": lambda m, a, b: m.memory.write_u64(VirtualAddress(node(m, 0) + 24), 8),
    "regions.last": lambda m, a, b: m.regions.fields.add("free_mem_list_.last_", 32),
    "regions.end": lambda m, a, b: m.memory.write_u64(VirtualAddress(node(m, 0) + 16), node(m, 0)),
    "regions.count": lambda m, a, b: m.regions.fields.add("free_mem_list_.count_", 1),
    "regions.spare_count": lambda m, a, b: m.regions.fields.add("spare_count_", 1),
    "regions.spare": lambda m, a, b: m.memory.write_u64(VirtualAddress(m.regions.fields.get("spare_")), 1),
    # processes
    "process.pid": lambda m, a, b: b.fields.set("pid", 1),
    "process.list": lambda m, a, b: b.fields.set("next", a.address),
    "process.state": lambda m, a, b: a.fields.set("state", 3),
    "process.name": lambda m, a, b: a.fields.set("name", 1, 15),
    "process.directory": lambda m, a, b: b.memory.fields.set("page_directory_", a.memory.directory),
    "process.ranges": lambda m, a, b: a.memory.fields.add("stack_start_", 1),
    "process.page_place": lambda m, a, b: m.paging.map(
        a.memory.directory, 0x7F7F_F000, SPARE_FRAME, PageFlags.USER | PageFlags.WRITE
    ),
    "process.page_rights": lambda m, a, b: change_entry(m, a.memory.directory, 0x40_0000, 2),
    "process.page_missing": lambda m, a, b: change_entry(m, a.memory.directory, 0x40_0000, 1),
    # user heap
    "user_heap.extent": lambda m, a, b: a.memory.heap.fields.add("heap_current_", 1),
    "user_heap.page_directory": lambda m, a, b: a.memory.heap.fields.set("page_directory_", 0x1000),
    "user_heap.first": lambda m, a, b: a.memory.heap.fields.set("first_block_", 0x800_0070 + 0x70),
    "user_heap.state": lambda m, a, b: user_write(a, 0x800_0000 + 32, 7),
    "user_heap.tiles": lambda m, a, b: user_write(a, 0x800_0000, 16),
    "user_heap.links": lambda m, a, b: user_write(a, 0x800_0000 + 24, 16),
    "user_heap.end": lambda m, a, b: user_write(a, 0x800_0000 + 16, 0x800_0000),
    "user_heap.unmerged": lambda m, a, b: user_write(a, 0x800_0000 + 32, 0xDEADBEEFCAFEBABE),
    "user_heap.num_blocks": lambda m, a, b: a.memory.heap.fields.add("num_blocks_", 1),
    "user_heap.total_allocated": lambda m, a, b: a.memory.heap.fields.add("total_allocated_", 16),
}


@pytest.mark.parametrize("broken", BREAKS)
def test_what_is_broken_is_named(busy: tuple[Machine, Process, Process], broken: str) -> None:
    BREAKS[broken](*busy)
    assert broken in {violation.invariant.id for violation in violations(busy[0])}


def test_headers_that_no_walk_meets(busy: tuple[Machine, Process, Process]) -> None:
    """The list was found in another way: by the blocks' sizes, by back links."""
    heap, blocks = heap_record(busy[0]), list(heap_blocks(busy[0]).nodes)

    def broken(index: int, **changes: int) -> set[str]:
        changed = [*blocks[:index], replace(blocks[index], **changes), *blocks[index + 1 :]]  # type: ignore[arg-type]
        return {each.invariant.id for each in check_heap(heap, changed, RULES).violations}

    assert broken(2) == set()
    assert broken(2, next=0) == {"heap.next"}
    assert broken(2, address=blocks[2].address + 8) >= {"heap.alignment", "heap.next", "heap.size"}
    moved = replace(heap, first_block=blocks[1].address)
    assert {each.invariant.id for each in check_heap(moved, blocks, RULES).violations} == {"heap.first"}


def test_sections_in_another_order(machine: Machine) -> None:
    sections = machine.image.sections()
    assert layout.check_symbols(sections) == []
    swapped = sections | {"text_end": sections["rodata_end"], "rodata_end": sections["text_end"]}
    assert {each.invariant.id for each in layout.check_symbols(swapped)} == {"layout.symbols"}


def test_a_frame_lost_from_the_list(machine: Machine) -> None:
    manager, listed = frame_manager(machine), free_frames(machine).nodes
    lost = [FrameNode(listed[0].node, listed[0].address, listed[0].previous)]
    verdict = check_frames(manager, listed[1:], FRAME.size_bytes, listed_elsewhere=lost)
    assert {each.invariant.id for each in verdict.violations} == {"frames.lost", "frames.free_count"}


def test_a_node_in_list_and_pool(machine: Machine) -> None:
    listed = region_nodes(machine.regions).nodes
    manager = replace(region_manager(machine.regions), spare_count=1)
    found = check_spares(manager, listed, listed)
    assert {each.invariant.id for each in found} == {"regions.apart", "regions.spare"}


def span(start: int, end: int) -> PhysicalRange:
    return PhysicalRange(PhysicalAddress(start), PhysicalAddress(end))


RAM = [span(0, 0x9F000), span(MIB, 32 * MIB)]
HOLES = [span(0x9000, 0xA000), span(0x100_0000, 0x101_0000)]
MANAGED = [span(0x35_8000, 0x100_0000), span(0x101_0000, 0x200_0000)]


@pytest.mark.parametrize(
    ("ram", "reserved", "managed", "broken"),
    [
        (RAM, HOLES, MANAGED, set()),
        ([span(1, 2)], [], [], {"memory_map.whole"}),
        (RAM[::-1], HOLES, MANAGED, {"memory_map.order"}),
        (RAM[:1], HOLES, MANAGED, {"memory_map.in_ram"}),
        (RAM, HOLES, [span(0x35_8000, 0x200_0000)], {"memory_map.not_reserved"}),
        (RAM, HOLES, [span(0x30_0000, 0x100_0000)], {"memory_map.not_low"}),
        (RAM, [span(n * 0x2000, n * 0x2000 + 0x1000) for n in range(33)], [], {"memory_map.few"}),
    ],
)
def test_memory_maps(
    ram: list[PhysicalRange], reserved: list[PhysicalRange], managed: list[PhysicalRange], broken: set[str]
) -> None:
    found = memory_map.check_memory_map(ram, reserved, managed, 0x35_8000)
    assert {each.invariant.id for each in found} == broken


def test_placement(machine: Machine) -> None:
    sound = placement_record(machine)
    frames = sound.objects[0]

    def broken(**changes: object) -> set[str]:
        found = placement.check_placement(replace(sound, **changes), (span(0x400_0000, 0x500_0000),))  # type: ignore[arg-type]
        return {each.invariant.id for each in found}

    def moved(start: int, end: int) -> set[str]:
        changed = replace(frames, start=PhysicalAddress(start), end=PhysicalAddress(end))
        return broken(objects=(changed, *sound.objects[1:]))

    assert broken() == set()
    assert broken(next_free=0x33_5000) >= {"placement.start", "placement.inside"}
    assert broken(limit=0x33_7000) == {"placement.limit"}
    assert moved(frames.start + 8, frames.end) == {"placement.aligned"}
    assert moved(frames.start, frames.end + 0x1000) == {"placement.apart"}
    assert moved(0x400_0000, 0x400_0010) >= {"placement.reserved", "placement.inside"}


def record(number: int, depth: int = 0) -> TraceRecord:
    where = VirtualAddress(0x5000 + number % 4 * 64)
    return TraceRecord(where, number, 1, 0, depth, (0, 0, 0), 0, VirtualAddress(0), PhysicalAddress(0))


def test_traces() -> None:
    ring = Trace(VirtualAddress(0x100), VirtualAddress(0x5000), 4, 6, 0)
    records = [record(2), record(3, 1), record(4, 2), record(5, 1)]

    def broken(trace_record: Trace, found: list[TraceRecord]) -> set[str]:
        return {each.invariant.id for each in trace.check_trace(trace_record, found)}

    assert broken(ring, records) == set()
    assert broken(replace(ring, ring=VirtualAddress(0x5008)), []) >= {"trace.ring"}
    assert broken(replace(ring, capacity=1 << 21), records) == {"trace.capacity"}
    assert broken(replace(ring, next=7), records) == {"trace.sequence"}
    assert broken(ring, [replace(records[0], what=24), *records[1:]]) == {"trace.operation"}
    assert broken(ring, [record(2, 3), *records[1:]]) == {"trace.depth"}


def test_every_invariant_has_a_specimen() -> None:
    known = {each.id for invariants in catalogue.NOUNS.values() for each in invariants}
    elsewhere = {
        "frames.lost",
        "regions.apart",
        "heap.alignment",
        "heap.next",
        "heap.first",
        # tests/coronel_gdb/test_foundations.py
        "frames.previous",
        "regions.first",
        # tests/coronel_gdb/test_processes_command.py
        "process.listed",
        # tests/model/test_boot_invariants.py
        *(each.id for each in boot.ALL),
        *(each.id for noun in (frame_manager_rules, locks, table_entries) for each in noun.ALL),
        "layout.symbols",
        # tests/model/test_placed_frames.py
        *(each.id for each in placed_frames.OWN),
        # test_runs.py, test_chunks.py
        *(each.id for noun in (runs, chunks) for each in noun.ALL),
        *(each.id for noun in (memory_map, placement, trace) for each in noun.ALL),
    }
    assert known == {*BREAKS, *elsewhere}


def test_the_document_is_written_from_the_code() -> None:
    assert INVARIANTS.read_text() == catalogue.as_markdown(), "run `make capture`"
