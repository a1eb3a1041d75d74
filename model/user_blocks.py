"""The blocks of a process's heap: headers that the process can overwrite (docs/spec.md §15.3).

Headers and their rules are those of the kernel heap (§7.1 to §7.5); they lie in the process's own pages and
are reached through its page tables. A block held here is a copy: what is changed is written back at once.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from model.heap_blocks import FREE, HEADER, HEADER_BYTES, SPLIT_BYTES, Extent, is_free
from model.layouts import HEAP_BLOCK
from model.records import HeapBlock
from model.structure import Structure
from model.types import U64_MASK, VirtualAddress
from model.user_memory import UserMemory

_NEXT, _PREV = HEAP_BLOCK.member("next").offset_bytes, HEAP_BLOCK.member("prev").offset_bytes
_SIZE, _MAGIC = HEAP_BLOCK.member("size").offset_bytes, HEAP_BLOCK.member("magic").offset_bytes
_IS_FREE = HEAP_BLOCK.member("is_free").offset_bytes


@dataclass(frozen=True, slots=True)
class UserBlocks:
    """The blocks of the allocator whose object is `fields`, in the pages of `memory`."""

    fields: Structure
    memory: UserMemory

    def extent(self) -> Extent:
        """Where headers may lie: [heap_start_, heap_current_)."""
        return Extent(self.fields.get("heap_start_"), self.fields.get("heap_current_"), ())

    @property
    def most_blocks(self) -> int:
        """How many blocks a walk looks at (§15.3)."""
        extent = self.extent()
        return max(extent.end - extent.start, 0) // SPLIT_BYTES

    def read(self, address: int, extent: Extent) -> HeapBlock | None:
        """The header at `address`, whatever it holds; None where no header can be."""
        if not extent.can_hold_header(address):
            return None
        data = self.memory.read(address, HEADER_BYTES)
        if data is None:
            return None
        size, free, following, previous, magic = HEADER.unpack(data)
        where = VirtualAddress(address)
        return HeapBlock(where, size, free, VirtualAddress(following), VirtualAddress(previous), magic)

    def read_valid(self, address: int, extent: Extent) -> HeapBlock | None:
        """The header at `address`; None when it is not valid (§7.3)."""
        block = self.read(address, extent)
        return block if block is not None and extent.is_valid(block) else None

    def walk(self, extent: Extent) -> Iterator[HeapBlock | VirtualAddress]:
        """The blocks in list order; the address of one that cannot be believed ends them (§7.4)."""
        before, address = VirtualAddress(0), VirtualAddress(self.fields.get("first_block_"))
        for _ in range(self.most_blocks):
            if address == 0:
                return
            block = self.read_valid(address, extent)
            if block is None or block.prev != before:
                yield address
                return
            yield block
            before, address = address, block.next
        if address:
            yield address

    def is_followed_well(self, block: HeapBlock, extent: Extent) -> bool:
        """Whether what follows a block may be linked anew (§7.3a)."""
        if block.next == 0:
            return True
        after = self.read_valid(block.next, extent)
        return after is not None and after.prev == block.address

    def is_linked(self, block: HeapBlock, extent: Extent) -> bool:
        """Whether both neighbours are valid and point back at a block (§7.5)."""
        if (block.prev == 0) != (block.address == self.fields.get("first_block_")):
            return False
        if block.prev:
            before = self.read_valid(block.prev, extent)
            if before is None or before.next != block.address:
                return False
        return self.is_followed_well(block, extent)

    def is_reachable(self, address: int, extent: Extent) -> bool:
        """Whether `next` leads from `first_block_` to `address`, within the bound (§7.5)."""
        position, seen = self.fields.get("first_block_"), set[int]()
        while position != address:
            block = self.read(position, extent)
            if block is None or position in seen or len(seen) >= self.most_blocks:
                return False
            seen.add(position)
            position = block.next
        return True

    def write_free(self, address: int, size_bytes: int, following: int, previous: int) -> HeapBlock:
        """Write the header of a new free block and count it; padding keeps what it held (§7.1)."""
        self.set_size(address, size_bytes)
        self.set_state(address, FREE)
        self.set_next(address, following)
        self._write(address + _PREV, previous)
        self.fields.add("num_blocks_", 1)
        where, links = VirtualAddress(address), (VirtualAddress(following), VirtualAddress(previous))
        return HeapBlock(where, size_bytes, FREE[0], *links, FREE[1])

    def insert_after(self, block: HeapBlock, address: int, size_bytes: int) -> HeapBlock:
        """Write a free block at `address` and link it after `block`."""
        made = self.write_free(address, size_bytes, block.next, block.address)
        self.set_prev(block.next, address)
        self.set_next(block.address, address)
        return made

    def absorb(self, block: HeapBlock, other: HeapBlock) -> HeapBlock:
        """Join the free block `other`, which `block` touches, to it; `block` as it is then (§7.5).

        A `block` that is used is accounted for by the caller.
        """
        size = block.size_bytes + HEADER_BYTES + other.size_bytes
        self.set_size(block.address, size)
        self.set_next(block.address, other.next)
        self.set_prev(other.next, block.address)
        self.fields.add("num_blocks_", -1)
        return HeapBlock(block.address, size, block.is_free, other.next, block.prev, block.magic)

    def cut(self, block: HeapBlock, size: int) -> HeapBlock | None:
        """Make what a block has beyond `size` a free block, when it is enough for one (§7.4)."""
        rest_bytes = block.size_bytes - size
        if rest_bytes < SPLIT_BYTES:
            return None
        self.set_size(block.address, size)
        if not is_free(block):
            self.fields.add("total_allocated_", -rest_bytes)
        rest = block.address + HEADER_BYTES + size
        return self.insert_after(block, rest, rest_bytes - HEADER_BYTES)

    def set_size(self, address: int, size_bytes: int) -> None:
        """Write a block's size."""
        self._write(address + _SIZE, size_bytes)

    def set_state(self, address: int, state: tuple[int, int]) -> None:
        """Write a block's `is_free` and magic: `FREE` or `USED` (§7.3)."""
        free, magic = state
        self.memory.write(address + _IS_FREE, bytes([free]))
        self._write(address + _MAGIC, magic)

    def set_next(self, address: int, following: int) -> None:
        """Write a block's `next`."""
        self._write(address + _NEXT, following)

    def set_prev(self, address: int, previous: int) -> None:
        """Write a block's `prev`; for null, the list's end, nothing is to be written."""
        if address:
            self._write(address + _PREV, previous)

    def _write(self, address: int, value: int) -> None:
        self.memory.write(address, struct.pack("<Q", value & U64_MASK))
