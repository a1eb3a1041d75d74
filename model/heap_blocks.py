"""The blocks of the kernel heap: only its regions are mapped (docs/spec.md §7.2, §7.3)."""

from dataclasses import dataclass

from model.block_list import HEADER_BYTES, SPLIT_BYTES, BlockList, Extent
from model.regions import RegionAllocator
from model.types import VirtualAddress


@dataclass(frozen=True, slots=True)
class HeapBlocks(BlockList):
    """The blocks of the heap whose object is `fields`; `regions` tells where nothing is mapped."""

    regions: RegionAllocator

    def extent(self) -> Extent:
        """[heap_start_, heap_end_) without the free regions of addresses in it (§7.3)."""
        start, end = self.fields.get("heap_start_"), self.fields.get("heap_end_")
        return Extent(start, end, tuple(self.regions.nodes.regions_inside(start, end)))

    def most_blocks(self) -> int:
        """As many as fit into the regions (§7.5)."""
        return self.fields.get("heap_size_") // SPLIT_BYTES

    def longest_walk(self) -> int | None:
        """The back links are bound enough (§7.4)."""
        return None

    def _load(self, address: int) -> bytes | None:
        where = VirtualAddress(address)
        mapped = self.fields.memory.is_mapped(where, HEADER_BYTES)
        return self.fields.memory.read(where, HEADER_BYTES) if mapped else None

    def _store(self, address: int, data: bytes) -> None:
        self.fields.memory.write(VirtualAddress(address), data)
