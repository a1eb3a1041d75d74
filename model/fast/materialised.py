"""The twin's state as the bytes that a kernel's memory must hold (docs/spec.md §10)."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from model.address_space import DEVICE_BASE
from model.errors import ErrorKind
from model.fast.blocks import FastBlocks
from model.fast.heap import FastHeap
from model.fast.machine import FastMachine
from model.fast.tables import UNKNOWN_FLAGS
from model.layouts import FRAME, HEAP, NODE, PHYSICAL, VIRT, Layout
from model.page_entry import ACCESSED, ADDRESS_BITS, DIRTY, PRESENT
from model.records import HeapRules
from model.types import PAGE_BYTES

RULES: Final = HeapRules()
_U64: Final = (1 << 64) - 1


@dataclass(frozen=True, slots=True)
class Piece:
    """Bytes that memory must hold at `address`; bits that are 0 in `mask` may have any value.

    `noun` says what lies there, `layout` names its fields (None: an array of u64).
    """

    noun: str
    address: int
    data: bytes
    mask: bytes
    layout: Layout | None = None


def blocks(heap: FastBlocks) -> Iterator[tuple[int, int]]:
    """Header address and `sizes` word of every block, in list order."""
    block = heap.first_block
    while block:
        word = heap.sizes[block]
        yield block, word
        after = block + RULES.header_bytes + (word & ~1)
        block = after if heap.before.get(after) == block else heap.jumps.get(block, 0)


_HEADER: Final = struct.Struct("<QQQQQQ")
HEADER_MASK: Final = _HEADER.pack(_U64, 0xFF, _U64, _U64, _U64, 0)


def headers(heap: FastBlocks) -> Iterator[tuple[int, bytes]]:
    """Address and bytes of every header in list order; padding is 0 and means nothing."""
    listed = list(blocks(heap))
    following = [*(block for block, _ in listed[1:]), 0] if listed else []
    previous = 0
    for (block, word), after in zip(listed, following, strict=True):
        used = word & 1
        magic = RULES.magic_used if used else RULES.magic_free
        yield block, _HEADER.pack(word - used, 1 - used, after, previous, magic, 0)
        previous = block


def heap_object(heap: FastHeap, address: int) -> Piece:
    """The heap object; where a refusal's kind is a guess, its counters are left out."""
    values = {
        "heap_start_": heap.heap_start,
        "heap_end_": heap.heap_end,
        "heap_size_": heap.heap_size,
        "first_block_": heap.first_block,
        "total_allocated_": heap.total_allocated,
        "total_free_": heap.total_free,
        "num_allocations_": heap.num_allocations,
        "num_frees_": heap.num_frees,
        "num_expansions_": heap.num_expansions,
    }
    guessed = () if not heap.guesses else GUESSED
    return _object("heap object", HEAP, address, values, heap.errors, guessed)


GUESSED: Final = (ErrorKind.CORRUPTION_DETECTED, ErrorKind.DOUBLE_FREE, ErrorKind.INVALID_POINTER)
"""What a refusal can be whose kind depends on bytes that no operation wrote."""


def frame_manager(machine: FastMachine, address: int, nodes: int) -> Iterator[Piece]:
    """The frame manager and its whole array of nodes."""
    frames = machine.frames
    words = [0] * (2 * len(frames.is_free))
    successor = 0
    for frame in frames.free:
        index = frame // PAGE_BYTES
        words[2 * index], words[2 * index + 1] = frame, successor
        successor = nodes + index * FRAME.size_bytes
    values = {
        "physical_end_": len(frames.is_free) * PAGE_BYTES,
        "free_list_": successor,
        "nodes_": nodes,
        "node_count_": len(frames.is_free),
        "free_count_": len(frames.free),
        "range_count_": len(frames.ranges),
    }
    yield _object("frame manager", PHYSICAL, address, values, frames.errors)
    data = struct.pack(f"<{len(words)}Q", *words)
    yield Piece("array of frame nodes", nodes, data, b"\xff" * len(data))


def region_manager(machine: FastMachine) -> Iterator[Piece]:
    """The manager of virtual regions, the nodes in its list and those in its pool."""
    regions = machine.regions
    nodes = [node for _, _, node in regions.free]
    values = {
        "free_mem_list_.first_": nodes[0] if nodes else 0,
        "free_mem_list_.last_": nodes[-1] if nodes else 0,
        "free_mem_list_.count_": len(nodes),
        "spare_": regions.spare[-1] if regions.spare else 0,
        "spare_count_": len(regions.spare),
        "start_": regions.start,
        "end_": regions.end,
        "nodes_from_": 0,
    }
    yield _object("region manager", VIRT, regions.address, values, regions.errors)
    full = b"\xff" * NODE.size_bytes
    for (start, size, node), after, before in zip(regions.free, [*nodes[1:], 0], [0, *nodes], strict=False):
        yield Piece("region node", node, struct.pack("<4Q", start, size, after, before), full, NODE)
    for node, after in zip(regions.spare, [0, *regions.spare], strict=False):
        yield Piece("spare region node", node, struct.pack("<4Q", 0, 0, after, 0), full, NODE)


def page_tables(machine: FastMachine) -> Iterator[Piece]:
    """Every page table by its physical address; A and D are left out, and flags that no record tells."""
    tables = machine.tables
    device = _device_table(machine)
    for table, entries in tables.tables.items():
        words, mask = [0] * 512, [~(ACCESSED | DIRTY) & _U64] * 512
        for index, entry in entries.items():
            words[index] = entry & _U64
            if entry & UNKNOWN_FLAGS:
                words[index] = entry & ADDRESS_BITS | PRESENT
                mask[index] = ADDRESS_BITS | PRESENT
        if table in tables.inferred:
            mask[511] = 0
        if table == device:
            mask[_DEVICE_INDEX] = 0
        yield Piece("page table", table, struct.pack("<512Q", *words), struct.pack("<512Q", *mask))


_DEVICE_INDEX: Final = DEVICE_BASE >> 30 & 511


def _device_table(machine: FastMachine) -> int:
    """The kernel's PDPT: `mapio` leaves no record (§12.3), so its entry for devices is not known."""
    tables = machine.tables
    return tables.tables[tables.kernel_directory][511] & ADDRESS_BITS


def _object(
    noun: str,
    layout: Layout,
    address: int,
    values: dict[str, int],
    errors: list[int],
    guessed: tuple[ErrorKind, ...] = (),
) -> Piece:
    data, mask = bytearray(layout.size_bytes), bytearray(layout.size_bytes)
    for offset, field in layout.encode({**values, "lock_": 0}).items():
        data[offset : offset + len(field)] = field
        mask[offset : offset + len(field)] = b"\xff" * len(field)
    at = layout.member("errors_").offset_bytes
    for kind in ErrorKind:
        if kind not in guessed:
            data[at + 8 * kind : at + 8 * kind + 8] = errors[kind].to_bytes(8, "little")
            mask[at + 8 * kind : at + 8 * kind + 8] = b"\xff" * 8
    return Piece(noun, address, bytes(data), bytes(mask), layout)
