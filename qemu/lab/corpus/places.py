"""Where the kernel keeps what can be damaged: every field of every structure of one snapshot."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from random import Random
from typing import TypeVar

from coronel_gdb.commands.command import Context
from coronel_gdb.lift.frames import lift_frames
from coronel_gdb.lift.heap import lift_heap, read_heap
from coronel_gdb.lift.processes import lift_processes
from coronel_gdb.lift.regions import lift_list, lift_regions, lift_spares
from coronel_gdb.lift.space import AddressSpace
from coronel_gdb.lift.user_heap import lift_user_heap
from coronel_gdb.profiles.schema import HeapProfile, ResolvedProfile, Structure
from lab.corpus.snapshot import Snapshot
from model.address_space import WINDOW_BASE
from model.page_entry import ADDRESS_BITS, PRESENT
from model.paging import Level, Mapping, Translation, sign_extend, walk_space
from model.records import HeapBlock, Process
from model.types import PAGE_BYTES, VirtualAddress

_T = TypeVar("_T")
_MOST = 200  # places of one noun in a snapshot; which ones is drawn


@dataclass(frozen=True, slots=True)
class Place:
    """One field: of `noun`, at address `structure` (a table entry: physical), in memory at `physical`.

    `names` are addresses by which a finding may call the damaged structure. `counts` is off for a place of
    an array behind what is in use of it.
    """

    noun: str
    field: str
    structure: int
    physical: int
    size_bytes: int
    names: frozenset[int]
    counts: bool = True


@dataclass(frozen=True, slots=True)
class Boundary:
    """Two blocks of one heap that touch, in this `space`.

    `heap` is the page directory of the process whose heap it is, 0 for the kernel's.
    """

    before: HeapBlock
    after: HeapBlock
    space: AddressSpace
    heap: int

    @property
    def user(self) -> bool:
        """Whether it is the heap of a process."""
        return self.heap != 0


def places(snapshot: Snapshot, random: Random) -> Iterator[Place]:
    """Fields of all structures, a draw of those there are many of."""
    context = snapshot.healthy
    profile, space = context.profile, context.space
    yield from _variables(context)
    heap = read_heap(context.target, space, profile.heap)
    lifted = lift_heap(space, heap, profile.heap)
    yield from _fields("heap", profile.heap.heap, heap.address, space)
    for block in _draw(list(lifted.all_blocks(profile.heap)), random):
        yield from _fields("heap block", profile.heap.block, block.address, space)
    frames = lift_frames(context.target, space, profile.frames)
    yield from _fields("frame manager", profile.frames.manager, frames.manager.address, space)
    for node in _draw(frames.nodes, random):
        yield from _fields("frame node", profile.frames.node, node.node, space, {node.address})
    regions = lift_regions(context.target, space, profile.regions)
    yield from _fields("region manager", profile.regions.manager, regions.manager.address, space)
    for region in _draw(regions.regions, random):
        yield from _fields("region node", profile.regions.node, region.node, space)
    pool = lift_spares(regions.manager, space, profile.regions.node).regions
    for spare in _draw(pool, random):
        # Which node of a pool lost its successor cannot be told from the nodes: the pool is what is damaged.
        yield from _fields("spare node", profile.regions.node, spare.node, space, {regions.manager.address})
    yield from _entries("kernel", space, random)
    yield from _windows(context, random)
    listed = lift_processes(context.target, space, profile)
    for process in listed.processes:
        assert profile.processes is not None
        memory = process.memory
        names: set[int] = {process.address, memory.heap.address, memory.mmap.address, memory.page_directory}
        yield from _fields("process", profile.processes.process, process.address, space, names)
        yield from _mmap("process", profile, process, space)
        own = context.space_of(memory.page_directory)
        yield from _entries("process", own, random)
        user = lift_user_heap(own, process.memory.heap, profile.heap)
        if user.lifted is not None:
            for block in _draw(list(user.lifted.all_blocks(profile.heap)), random):
                yield from _fields("user heap block", profile.heap.block, block.address, own)


def boundaries(snapshot: Snapshot) -> list[Boundary]:
    """Where an overflow can strike, in the kernel's heap and in those of processes."""
    context = snapshot.healthy
    profile = context.profile.heap
    heap = read_heap(context.target, context.space, profile)
    lifted = lift_heap(context.space, heap, profile)
    found = _boundaries(list(lifted.all_blocks(profile)), context.space, profile, 0)
    for process in lift_processes(context.target, context.space, context.profile).processes:
        own = context.space_of(process.memory.page_directory)
        users = lift_user_heap(own, process.memory.heap, profile).lifted
        if users is not None:
            found += _boundaries(list(users.all_blocks(profile)), own, profile, process.memory.page_directory)
    return found


def _boundaries(
    blocks: list[HeapBlock], space: AddressSpace, profile: HeapProfile, heap: int
) -> list[Boundary]:
    """Used blocks and what touches their end."""
    header = profile.rules.header_bytes
    return [
        Boundary(before, after, space, heap)
        for before, after in pairwise(blocks)
        if before.magic == profile.rules.magic_used
        and before.address + header + before.size_bytes == after.address
    ]


def _variables(context: Context) -> Iterator[Place]:
    """The kernel's own variables: pointers to managers and lists, what the boot left, words of activity."""
    profile, space, symbol = context.profile, context.space, context.target.symbol
    assert profile.processes is not None
    assert profile.boot_map is not None
    wide = [profile.heap.pointer, profile.frames.pointer, profile.regions.pointer, profile.processes.head]
    wide += [profile.image[role] for role in ("placement", "kernel_directory", "next_device")]
    for size_bytes, names in ((8, wide), (4, profile.activity)):
        for name in names:
            at = symbol(name)
            assert at is not None, f"the kernel has no {name}"
            yield Place("variable", name, at, physical(space, at), size_bytes, frozenset({at}))
    for noun, variable in (("memory map", profile.boot_map), ("trace", profile.ring)):
        assert variable is not None
        at = symbol(variable.symbol)
        assert at is not None, f"the kernel has no {variable.symbol}"
        values = variable.structure.decode(space.read(at, variable.structure.size_bytes))
        for place in _fields(noun, variable.structure, at, space):
            name, _, index = place.field.partition("[")
            number = int(index.rstrip("]") or 0)
            yield replace(place, counts=number < 2 * values.get(f"{name}_count", 1))


def _windows(context: Context, random: Random) -> Iterator[Place]:
    """Slots of the window table: all of them are 0 while no operation is under way (docs/spec.md §5.1)."""
    symbol = context.profile.image["window_table"]
    table = context.target.symbol(symbol)
    assert table is not None, f"the kernel has no {symbol}"
    at = physical(context.space, table)
    for slot in random.sample(range(512), 16):
        names = frozenset({at, at + 8 * slot, WINDOW_BASE + PAGE_BYTES * slot})
        yield Place("kernel window", "entry", at + 8 * slot, at + 8 * slot, 8, names)


def _mmap(noun: str, profile: ResolvedProfile, process: Process, space: AddressSpace) -> Iterator[Place]:
    """The manager inside a process, and its nodes."""
    manager = process.memory.mmap
    yield from _fields(f"{noun} mmap", profile.regions.manager, manager.address, space, {process.address})
    for region in lift_list(manager, space, profile.regions.node).regions:
        yield from _fields(f"{noun} mmap node", profile.regions.node, region.node, space)


def physical(space: AddressSpace, virtual: int) -> int:
    """Where a virtual address lies."""
    found = space.translate(VirtualAddress(virtual))
    assert isinstance(found, Translation), f"{virtual:#x} is not mapped in a healthy kernel"
    return found.physical


def written(space: AddressSpace, virtual: int, data: bytes) -> dict[int, bytes]:
    """Physical address → bytes that a write to virtual memory changes, page by page."""
    pieces, at = {}, 0
    while at < len(data):
        size = min(len(data) - at, PAGE_BYTES - (virtual + at) % PAGE_BYTES)
        pieces[physical(space, virtual + at)] = data[at : at + size]
        at += size
    return pieces


def _fields(
    noun: str, structure: Structure, address: int, space: AddressSpace, names: set[int] | None = None
) -> Iterator[Place]:
    known = frozenset({address} | (names or set()))
    for role, member in structure.members.items():
        for index in range(member.count):
            at = address + member.offset_bytes + index * member.size_bytes
            label = f"{role}[{index}]" if member.count > 1 else role
            yield Place(noun, label, address, physical(space, at), member.size_bytes, known)


def _entries(noun: str, space: AddressSpace, random: Random) -> Iterator[Place]:
    """Entries at every level; only what is this space's own when it is a process's."""
    found: dict[int, tuple[Level, set[int]]] = {}
    bases: dict[int, tuple[int, int]] = {}
    for page in walk_space(space.table, space.root, space.mode):
        if not isinstance(page, Mapping) or (noun == "process" and page.virtual >> 63):
            continue
        steps = space.translate(page.virtual).steps
        for step in steps:
            table = step.entry_address & ~0xFFF
            bases[table] = (page.virtual & -(512 * step.level.span_bytes), step.level.span_bytes)
            level, names = found.setdefault(step.entry_address, (step.level, set()))
            names |= {page.virtual, page.physical, step.entry & ADDRESS_BITS, step.entry_address & ~0xFFF}
            names.add(page.virtual & -step.level.span_bytes)  # the first address that it translates
    by_level: dict[Level, list[int]] = {}
    for address, (level, _) in found.items():
        by_level.setdefault(level, []).append(address)
    for level, addresses in sorted(by_level.items()):
        for address in _draw(addresses, random):
            known = frozenset(found[address][1] | {address})
            yield Place(f"{noun} {level.name}", "entry", address, address, 8, known)
    # Entries that are not in use.
    tables = sorted({address & ~0xFFF for address in found})
    for table in _draw(tables, random, 10):
        at = table + 8 * random.randrange(512)
        entry = space.entry(at)  # type: ignore[arg-type]  # a plain integer is an address here
        if entry is not None and not entry & PRESENT:
            base, span = bases[table]
            virtual = sign_extend(base + (at - table) // 8 * span, space.mode.levels)
            yield Place(f"{noun} unused entry", "entry", at, at, 8, frozenset({at, table, virtual}))


def _draw(items: list[_T], random: Random, most: int = _MOST) -> list[_T]:
    return items if len(items) <= most else random.sample(items, most)
