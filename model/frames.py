"""Physical frames: a last-in first-out list of free frames (docs/spec.md §4.4 to §4.8).

Frame number n owns node n of the array `nodes_` for ever; a node is `{address, previous}`, where
`previous` is the next node of the list.
"""

import struct
from dataclasses import dataclass
from typing import Final

from model.errors import ErrorKind, Refusal
from model.events import Journal, Listener, Part, discard
from model.layouts import FRAME, PHYSICAL
from model.memory import VirtualMemory
from model.structure import Structure, decoder
from model.types import PAGE_BYTES, U64_MASK, PhysicalAddress, VirtualAddress, is_aligned

MAXIMUM_RANGES: Final = 32
_NODE: Final = decoder(FRAME, "address", "previous")
_BATCH: Final = 1 << 16  # nodes written at once: 1 MiB


@dataclass(frozen=True, slots=True)
class FrameAllocator:
    """The object `physical` and its nodes, both in memory."""

    fields: Structure
    journal: Journal

    @staticmethod
    def at(memory: VirtualMemory, address: VirtualAddress, listener: Listener = discard) -> "FrameAllocator":
        """The allocator whose object lies at `address`."""
        fields = Structure(memory, PHYSICAL, address)
        return FrameAllocator(
            fields, Journal(Part.PHYSICAL, memory, fields.field_address("errors_"), listener)
        )

    def begin(self, physical_end: PhysicalAddress, nodes: VirtualAddress) -> None:
        """Own the array `nodes`, zeroed, one node for each frame below `physical_end` (§4.4)."""
        self.fields.set("physical_end_", physical_end)
        self.fields.set("nodes_", nodes)
        self.fields.set("node_count_", physical_end // PAGE_BYTES)

    @property
    def free_count(self) -> int:
        """How many frames are free."""
        return self.fields.get("free_count_")

    def setup(self, start: int, size_bytes: int) -> bool:
        """Manage the frames of [start, start + size_bytes): all of them become free (§4.5)."""
        start, size_bytes = start & U64_MASK, size_bytes & U64_MASK
        return bool(self.journal.conclude("setup", (start, size_bytes), self._setup(start, size_bytes)))

    def alloc(self) -> PhysicalAddress:
        """Take the frame at the list's head; 0 when there is none (§4.6)."""
        return PhysicalAddress(self.journal.conclude("alloc", (), self._alloc()))

    def free(self, address: int) -> bool:
        """Give a frame back (§4.7)."""
        address &= U64_MASK
        return bool(self.journal.conclude("free", (address,), self._free(address)))

    def _setup(self, start: int, size_bytes: int) -> int | Refusal:
        # check: whole pages that have nodes, not frame 0 (§4.8), not managed yet
        end = start + size_bytes
        whole_pages = is_aligned(start, PAGE_BYTES) and is_aligned(size_bytes, PAGE_BYTES)
        if not whole_pages or not 0 < start < end <= self.fields.get("node_count_") * PAGE_BYTES:
            return Refusal(ErrorKind.INVALID_POINTER, start)
        if any(start < other_end and other_start < end for other_start, other_end in self._ranges()):
            return Refusal(ErrorKind.INVALID_POINTER, start)
        count = self.fields.get("range_count_")
        if count >= MAXIMUM_RANGES:  # §4.5: one more is ignored; its line is no error's
            return 0
        # commit
        self.fields.set("ranges_", start, 2 * count)
        self.fields.set("ranges_", end, 2 * count + 1)
        self.fields.set("range_count_", count + 1)
        self._push_all(start, end)
        return 1

    def _push_all(self, start: int, end: int) -> None:
        """Push the frames from the highest address to the lowest (§4.5).

        So each node's successor is its upper neighbour, and the highest one's is the list so far.
        """
        head, first_node = self.fields.get("free_list_"), self._node(start)
        last = end - PAGE_BYTES
        for batch in range(start, end, _BATCH * PAGE_BYTES):
            node = first_node + (batch - start) // PAGE_BYTES * FRAME.size_bytes
            nodes = bytearray()
            for frame in range(batch, min(end, batch + _BATCH * PAGE_BYTES), PAGE_BYTES):
                successor = node + len(nodes) + FRAME.size_bytes if frame != last else head
                nodes += struct.pack("<QQ", frame, successor & U64_MASK)
            self.fields.memory.write(VirtualAddress(node), nodes)
        self.fields.set("free_list_", first_node)
        self.fields.add("free_count_", (end - start) // PAGE_BYTES)

    def _alloc(self) -> int | Refusal:
        node = VirtualAddress(self.fields.get("free_list_"))
        if node == 0:  # §4.6
            return Refusal(ErrorKind.OUT_OF_MEMORY, PAGE_BYTES)
        # check: the head is a node of the array, and holds the address of its own frame (§4.6)
        offset = node - self.fields.get("nodes_")
        index = offset // FRAME.size_bytes
        if offset % FRAME.size_bytes or not 0 <= index < self.fields.get("node_count_"):
            return Refusal(ErrorKind.CORRUPTION_DETECTED, node)
        address, previous = _NODE.unpack(self.fields.memory.read(node, FRAME.size_bytes))
        if address != index * PAGE_BYTES or index == 0:  # §4.8: frame 0 is never free
            return Refusal(ErrorKind.CORRUPTION_DETECTED, node)
        # commit
        self.fields.set("free_list_", previous)
        self._write_node(node, 0, 0)
        self.fields.add("free_count_", -1)
        return int(address)

    def _free(self, address: int) -> int | Refusal:
        # check (§4.7)
        if not is_aligned(address, PAGE_BYTES) or not self._is_managed(address):
            return Refusal(ErrorKind.INVALID_POINTER, address)
        node = self._node(address)
        if self.fields.memory.read_u64(node) != 0:
            return Refusal(ErrorKind.DOUBLE_FREE, address)
        # commit
        self._write_node(node, address, self.fields.get("free_list_"))
        self.fields.set("free_list_", node)
        self.fields.add("free_count_", 1)
        return 1

    def _ranges(self) -> list[tuple[int, int]]:
        """The managed ranges, in the order of the `setup` calls."""
        count = min(self.fields.get("range_count_"), MAXIMUM_RANGES)
        return [
            (self.fields.get("ranges_", 2 * index), self.fields.get("ranges_", 2 * index + 1))
            for index in range(count)
        ]

    def _is_managed(self, address: int) -> bool:
        return any(start <= address < end for start, end in self._ranges())

    def _node(self, frame: int) -> VirtualAddress:
        """The node that a frame owns (§4.4)."""
        return VirtualAddress(self.fields.get("nodes_") + frame // PAGE_BYTES * FRAME.size_bytes)

    def _write_node(self, node: VirtualAddress, address: int, previous: int) -> None:
        self.fields.memory.write(node, struct.pack("<QQ", address, previous & U64_MASK))
