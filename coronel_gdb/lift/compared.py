"""A target's memory beside the bytes that a replayed model says must be there."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from coronel_gdb.errors import ReadFault
from coronel_gdb.lift.image import Image
from coronel_gdb.lift.space import AddressSpace
from model.fast.machine import FastMachine
from model.fast.materialised import (
    HEADER_MASK,
    Piece,
    frame_manager,
    headers,
    heap_object,
    page_tables,
    region_manager,
)
from model.fast.materialised_processes import (
    mmap_nodes,
    process_list,
    process_object,
    settle_rights,
    user_headers,
)
from model.fast.process import FastProcess
from model.layouts import HEAP_BLOCK, PROCESS, Member
from model.types import PAGE_BYTES, PhysicalAddress, VirtualAddress

_HEADER_BYTES = HEAP_BLOCK.size_bytes
_COUNTED_HEADER_BYTES = sum(byte == 0xFF for byte in HEADER_MASK)


@dataclass(frozen=True, slots=True)
class Mismatch:
    """A structure whose bytes are not those of the model; [start, end) is where they differ."""

    piece: Piece
    found: bytes
    start: int
    end: int

    @property
    def fields(self) -> tuple[Member, ...]:
        """The fields with a difference that counts; elements of a plain table are named by their index."""
        layout, size = self.piece.layout, len(self.piece.data)
        if layout is None:
            members: Iterable[Member] = (Member(f"[{at // 8}]", at, 8) for at in range(0, size, 8))
        else:
            members = (
                Member(f"{member.name}[{index}]" if member.count > 1 else member.name, at, member.size_bytes)
                for member in layout.members
                for index in range(member.count)
                for at in (member.offset_bytes + index * member.size_bytes,)
            )
        return tuple(member for member in members if self._differs(member.offset_bytes, member.end_bytes))

    def values(self, member: Member) -> tuple[int, int]:
        """What a field holds, and what it must hold."""
        part = slice(member.offset_bytes, member.end_bytes)
        return int.from_bytes(self.found[part], "little"), int.from_bytes(self.piece.data[part], "little")

    def _differs(self, start: int, end: int) -> bool:
        triples = zip(
            self.found[start:end], self.piece.data[start:end], self.piece.mask[start:end], strict=True
        )
        return any((found ^ expected) & mask for found, expected, mask in triples)


@dataclass(slots=True)
class Comparison:
    """How many bytes were compared, in what, and which differ or could not be read."""

    bytes_compared: int = 0
    structures: dict[str, int] = field(default_factory=dict)
    mismatches: list[Mismatch] = field(default_factory=list)
    unreadable: list[tuple[str, int, str]] = field(default_factory=list)
    """Noun, address, reason."""
    overwritten: dict[int, int] = field(default_factory=dict)
    """Process → how many headers of its heap are not what its calls left: it can write them itself."""


def compare(
    space: AddressSpace,
    machine: FastMachine,
    heap: VirtualAddress,
    frames: VirtualAddress,
    nodes: int,
    *,
    processes: bool,
) -> Comparison:
    """Compare headers, managers, nodes and page tables; the data of blocks is the kernel's own affair.

    Without `processes` their objects are left out: one of them is being changed, or not all are known.
    """
    comparison = Comparison()
    if processes:
        _compare_processes(comparison, space, machine)
    _compare_headers(comparison, space, machine)
    for piece in (
        heap_object(machine.heap, heap),
        *frame_manager(machine, frames, nodes),
        *region_manager(machine),
    ):
        _compare(comparison, piece, lambda piece: space.read(VirtualAddress(piece.address), len(piece.data)))
    for piece in page_tables(machine):
        _compare(
            comparison,
            piece,
            lambda piece: space.memory.read(PhysicalAddress(piece.address), len(piece.data)),
        )
    return comparison


def _compare_processes(comparison: Comparison, space: AddressSpace, machine: FastMachine) -> None:
    """The list, every object with its nodes, and the headers of the processes' heaps."""

    def read(piece: Piece) -> bytes:
        return space.read(VirtualAddress(piece.address), len(piece.data))

    _compare(comparison, process_list(machine), read)
    live = list(machine.processes.live.values())
    for process, after in zip(live, [*(other.address for other in live[1:]), 0], strict=False):
        try:
            found = space.read(VirtualAddress(process.address), PROCESS.size_bytes)
        except ReadFault as fault:
            comparison.unreadable.append(("process", process.address, fault.reason))
            continue
        settle_rights(machine, process, found)
        _compare(comparison, process_object(process, after, found), read)
        for piece in mmap_nodes(process):
            _compare(comparison, piece, read)
        _compare_user_headers(comparison, space, machine, process)


def _compare_user_headers(
    comparison: Comparison, space: AddressSpace, machine: FastMachine, process: FastProcess
) -> None:
    """The headers of one process, by the frames that the model says they lie in."""
    pages: dict[int, bytes | None] = {}

    def page(address: int) -> bytes | None:
        if address not in pages:
            leaf = machine.tables.leaf(process.pages.directory, address)
            try:
                frame = machine.tables.address(leaf or 0)
                pages[address] = space.memory.read(PhysicalAddress(frame), PAGE_BYTES)
            except ReadFault:
                pages[address] = None
        return pages[address]

    count = wrong = 0
    for address, expected in user_headers(process):
        first, offset = address - address % PAGE_BYTES, address % PAGE_BYTES
        data = page(first)
        if data is not None and offset + _HEADER_BYTES > PAGE_BYTES:
            more = page(first + PAGE_BYTES)
            data = data + more if more is not None else None
        if data is None:
            comparison.unreadable.append(("user heap header", address, "cannot be read"))
            continue
        count += 1
        found = data[offset : offset + _HEADER_BYTES]
        wrong += found[:9] != expected[:9] or found[16:40] != expected[16:40]
    if count:
        noun = "user heap header"
        comparison.structures[noun] = comparison.structures.get(noun, 0) + count
        comparison.bytes_compared += count * _COUNTED_HEADER_BYTES
    if wrong:
        comparison.overwritten[process.pid] = wrong


def _compare_headers(comparison: Comparison, space: AddressSpace, machine: FastMachine) -> None:
    """All headers from one image of the heap; most are equal, and only the others become pieces."""
    heap = machine.heap
    image = Image(space, VirtualAddress(heap.heap_start), VirtualAddress(heap.heap_end))
    count = 0
    for address, expected in headers(heap):
        found = image.bytes_at(address, _HEADER_BYTES)
        if found is None:
            comparison.unreadable.append(("block header", address, "not mapped, or not readable"))
            continue
        count += 1
        if found[:9] != expected[:9] or found[16:40] != expected[16:40]:
            piece = Piece("block header", address, expected, HEADER_MASK, HEAP_BLOCK)
            comparison.mismatches.append(_mismatch(piece, found))
    comparison.structures["block header"] = count
    comparison.bytes_compared += count * _COUNTED_HEADER_BYTES


def _compare(comparison: Comparison, piece: Piece, read: Callable[[Piece], bytes]) -> None:
    try:
        found = read(piece)
    except ReadFault as fault:
        comparison.unreadable.append((piece.noun, piece.address, fault.reason))
        return
    noun = piece.noun
    comparison.structures[noun] = comparison.structures.get(noun, 0) + 1
    comparison.bytes_compared += len(piece.mask) - piece.mask.count(0)
    if found == piece.data:
        return
    difference = int.from_bytes(found, "little") ^ int.from_bytes(piece.data, "little")
    if difference & int.from_bytes(piece.mask, "little"):
        comparison.mismatches.append(_mismatch(piece, found))


def _mismatch(piece: Piece, found: bytes) -> Mismatch:
    differ = list(_different(piece, found))
    return Mismatch(piece, found, piece.address + differ[0], piece.address + differ[-1] + 1)


def _different(piece: Piece, found: bytes) -> Iterator[int]:
    for index, (actual, expected, mask) in enumerate(zip(found, piece.data, piece.mask, strict=True)):
        if (actual ^ expected) & mask:
            yield index
