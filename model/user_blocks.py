"""The blocks of a process's heap: headers that the process can overwrite (docs/spec.md §15.3).

They lie in the process's own pages and are reached through its page tables.
"""

from dataclasses import dataclass

from model.block_list import HEADER_BYTES, SPLIT_BYTES, BlockList, Extent
from model.user_memory import UserMemory


@dataclass(frozen=True, slots=True)
class UserBlocks(BlockList):
    """The blocks of the allocator whose object is `fields`, in the pages of `memory`."""

    memory: UserMemory

    def extent(self) -> Extent:
        """[heap_start_, heap_current_); nothing while there is no block (§7.5)."""
        start = self.fields.get("heap_start_")
        return Extent(start, self.fields.get("heap_current_") if self.fields.get("first_block_") else start)

    def most_blocks(self) -> int:
        """As many as fit into the heap (§15.3)."""
        extent = self.extent()
        return max(extent.end - extent.start, 0) // SPLIT_BYTES

    def longest_walk(self) -> int | None:
        """A process can link its headers in any way: its walks are bounded (§15.3)."""
        return self.most_blocks()

    def _load(self, address: int) -> bytes | None:
        return self.memory.read(address, HEADER_BYTES)

    def _store(self, address: int, data: bytes) -> None:
        self.memory.write(address, data)
