"""The nodes of a manager of virtual regions: free list and pool (docs/spec.md §6.1, §6.2, §15.6).

A node describes a free region while it is in `free_mem_list_`, and lies unused, zero but for its
`next`, while it is in `spare_`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Protocol

from model.errors import ErrorKind, Refusal
from model.layouts import NODE
from model.records import Region
from model.structure import Structure, decoder
from model.types import PAGE_BYTES, U64_MASK, VirtualAddress

MOST_REGIONS: Final = 1 << 17  # §6.1: every other page of 1 GiB
NODES_PER_PAGE: Final = PAGE_BYTES // NODE.size_bytes
_NODE: Final = decoder(NODE, "start", "size", "next", "prev")
_START, _SIZE = NODE.member("start").offset_bytes, NODE.member("size").offset_bytes
_NEXT, _PREV = NODE.member("next").offset_bytes, NODE.member("prev").offset_bytes
_NULL: Final = VirtualAddress(0)


class NodeHeap(Protocol):
    """Where nodes come from one by one: the kernel heap (§15.6)."""

    def malloc(self, size_bytes: int) -> VirtualAddress:
        """Give `size_bytes`, or 0."""

    def free(self, pointer: int) -> bool:
        """Take back what `malloc` gave."""


@dataclass(frozen=True, slots=True)
class RegionNodes:
    """The nodes of the manager whose object is `fields`; they come from the pool, or from `heap`."""

    fields: Structure
    heap: NodeHeap | None = None

    def read(self, node: VirtualAddress) -> Region:
        """The region that a node describes."""
        start, size, following, previous = _NODE.unpack(self.fields.memory.read(node, NODE.size_bytes))
        return Region(node, VirtualAddress(start), size, VirtualAddress(following), VirtualAddress(previous))

    def walk(self) -> Iterator[Region | Refusal]:
        """The free regions in the order of the list.

        Free regions never touch, so there are at most as many as every other page: a list that is
        longer is damaged, and ends with a refusal (§6.1).
        """
        size_bytes = (self.fields.get("end_") - self.fields.get("start_")) & U64_MASK
        node = VirtualAddress(self.fields.get("free_mem_list_.first_"))
        for _ in range(min(size_bytes // (2 * PAGE_BYTES), MOST_REGIONS) + 1):
            if node == _NULL:
                return
            region = self.read(node)
            yield region
            node = region.next
        if node != _NULL:
            yield Refusal(ErrorKind.CORRUPTION_DETECTED, node)

    def regions(self) -> Iterator[Region]:
        """The free regions in the order of the list, as far as it can be believed to go on."""
        for region in self.walk():
            if isinstance(region, Region):
                yield region

    def regions_inside(self, start: int, end: int) -> Iterator[Region]:
        """The free regions that have an address in [start, end)."""
        for region in self.regions():
            if region.start < end and start < region.start + region.size_bytes:
                yield region

    def set_extent(self, node: VirtualAddress, start: int, size_bytes: int) -> None:
        """Let a node describe [start, start + size_bytes)."""
        self._write(node, _START, start)
        self._write(node, _SIZE, size_bytes)

    def insert(self, node: VirtualAddress, previous: VirtualAddress, following: VirtualAddress) -> None:
        """Link a node between two neighbours; null: the list begins or ends there."""
        self._write(node, _NEXT, following)
        self._write(node, _PREV, previous)
        self._link(previous, node)
        self._link_back(following, node)
        self.fields.add("free_mem_list_.count_", 1)

    def remove(self, region: Region) -> None:
        """Unlink a region and put its node into the pool (§6.4)."""
        self._link(region.prev, region.next)
        self._link_back(region.next, region.prev)
        self.fields.add("free_mem_list_.count_", -1)
        self.put_spare(region.node)

    def take_spare(self) -> VirtualAddress:
        """A node: the one that came last into the pool (§6.2), or a new one; null when there is none."""
        if self.heap is not None:
            return self.heap.malloc(NODE.size_bytes)
        node = VirtualAddress(self.fields.get("spare_"))
        if node != _NULL:
            self.fields.set("spare_", self.read(node).next)
            self.fields.add("spare_count_", -1)
        return node

    def put_spare(self, node: VirtualAddress) -> None:
        """Put a node into the pool, zero but for its link (§6.2), or back to the heap."""
        if self.heap is not None:
            self.heap.free(node)
            return
        self.set_extent(node, 0, 0)
        self._write(node, _NEXT, self.fields.get("spare_"))
        self._write(node, _PREV, _NULL)
        self.fields.set("spare_", node)
        self.fields.add("spare_count_", 1)

    def add_page(self, page: VirtualAddress) -> None:
        """Put the nodes of a zeroed page into the pool, the highest address first (§6.2)."""
        for index in reversed(range(NODES_PER_PAGE)):
            self.put_spare(VirtualAddress(page + index * NODE.size_bytes))

    def _link(self, node: VirtualAddress, following: VirtualAddress) -> None:
        """Let `following` come after `node`; after null, it comes first."""
        if node == _NULL:
            self.fields.set("free_mem_list_.first_", following)
        else:
            self._write(node, _NEXT, following)

    def _link_back(self, node: VirtualAddress, previous: VirtualAddress) -> None:
        """Let `previous` come before `node`; before null, it comes last."""
        if node == _NULL:
            self.fields.set("free_mem_list_.last_", previous)
        else:
            self._write(node, _PREV, previous)

    def _write(self, node: VirtualAddress, offset_bytes: int, value: int) -> None:
        self.fields.memory.write_u64(VirtualAddress(node + offset_bytes), value)
