"""The blocks of the kernel heap: headers, their validity, cutting and joining (docs/spec.md §7.1 to §7.5).

A block is a 48-byte header and the data behind it. Blocks form a doubly linked list. Functions that
change a block keep `total_free_` exact; who turns free into used accounts for that.
"""

import struct
from dataclasses import dataclass
from typing import Final

from model.layouts import HEAP_BLOCK
from model.records import HeapBlock, HeapRules, Region
from model.regions import RegionAllocator
from model.structure import Structure, decoder
from model.types import VirtualAddress, is_aligned

RULES: Final = HeapRules()
HEADER_BYTES: Final = RULES.header_bytes
SPLIT_BYTES: Final = HEADER_BYTES + RULES.minimum_bytes  # §7.4: what a split must leave

FREE: Final = (1, RULES.magic_free)
USED: Final = (0, RULES.magic_used)

HEADER: Final = decoder(HEAP_BLOCK, "size", "is_free", "next", "prev", "magic")
_SIZE = HEAP_BLOCK.member("size").offset_bytes
_IS_FREE = HEAP_BLOCK.member("is_free").offset_bytes
_NEXT, _PREV = HEAP_BLOCK.member("next").offset_bytes, HEAP_BLOCK.member("prev").offset_bytes
_MAGIC = HEAP_BLOCK.member("magic").offset_bytes


def data_of(block: HeapBlock) -> VirtualAddress:
    """Where a block's data begins (§7.1)."""
    return VirtualAddress(block.address + HEADER_BYTES)


def end_of(block: HeapBlock) -> VirtualAddress:
    """Where a block's data ends."""
    return VirtualAddress(block.address + HEADER_BYTES + block.size_bytes)


def touches(block: HeapBlock, other: HeapBlock) -> bool:
    """Whether `other` begins where `block` ends (§7.2)."""
    return end_of(block) == other.address


def is_free(block: HeapBlock) -> bool:
    """Whether a valid block is free (§7.3)."""
    return block.magic == RULES.magic_free


@dataclass(frozen=True, slots=True)
class Extent:
    """Where headers may lie: [heap_start_, heap_end_), but in no free region of addresses (§7.2, §7.3)."""

    start: int
    end: int
    holes: tuple[Region, ...]

    def can_hold_header(self, address: int) -> bool:
        """Whether a header can be at `address`: aligned, inside whole, in no free region (§7.3)."""
        end = address + HEADER_BYTES
        inside = self.start <= address and end <= self.end and is_aligned(address, RULES.alignment_bytes)
        return inside and not any(
            hole.start < end and address < hole.start + hole.size_bytes for hole in self.holes
        )

    def is_valid(self, block: HeapBlock) -> bool:
        """Whether a header that was looked at obeys §7.3."""
        return (
            (block.is_free, block.magic) in (FREE, USED)
            and is_aligned(block.size_bytes, RULES.alignment_bytes)
            and block.size_bytes >= RULES.minimum_bytes
            and end_of(block) <= self.end
        )


@dataclass(frozen=True, slots=True)
class HeapBlocks:
    """The blocks of the heap whose object is `fields`; `regions` tells where nothing is mapped."""

    fields: Structure
    regions: RegionAllocator

    def extent(self) -> Extent:
        """Where headers may lie at the moment."""
        start, end = self.fields.get("heap_start_"), self.fields.get("heap_end_")
        return Extent(start, end, tuple(self.regions.nodes.regions_inside(start, end)))

    def read(self, address: VirtualAddress) -> HeapBlock:
        """The header at `address`, whatever it holds."""
        size, free, following, previous, magic = HEADER.unpack(self.fields.memory.read(address, HEADER_BYTES))
        return HeapBlock(address, size, free, VirtualAddress(following), VirtualAddress(previous), magic)

    def can_be_read(self, address: VirtualAddress, extent: Extent) -> bool:
        """Whether a header at `address` may be looked at (§7.3): it can be there, and that is mapped."""
        return extent.can_hold_header(address) and self.fields.memory.is_mapped(address, HEADER_BYTES)

    def read_valid(self, address: VirtualAddress, extent: Extent) -> HeapBlock | None:
        """The header at `address`; None when it is not valid (§7.3)."""
        if not self.can_be_read(address, extent):
            return None
        block = self.read(address)
        return block if extent.is_valid(block) else None

    def is_followed_well(self, block: HeapBlock, extent: Extent) -> bool:
        """Whether what follows a block may be linked anew (§7.3a)."""
        if block.next == 0:
            return True
        after = self.read_valid(block.next, extent)
        return after is not None and after.prev == block.address

    def is_linked(self, block: HeapBlock, extent: Extent) -> bool:
        """Whether both neighbours are valid and point back at a block (§7.5)."""
        first = self.fields.get("first_block_")
        if (block.prev == 0) != (block.address == first):
            return False
        if block.prev:
            before = self.read_valid(block.prev, extent)
            if before is None or before.next != block.address:
                return False
        return self.is_followed_well(block, extent)

    def is_reachable(self, address: VirtualAddress, extent: Extent) -> bool:
        """Whether `next` leads from `first_block_` to `address`, within the bounds of §7.5."""
        position, seen = VirtualAddress(self.fields.get("first_block_")), set[int]()
        most_blocks = self.fields.get("heap_size_") // SPLIT_BYTES
        while position != address:
            # A walk that comes back to a block never arrives: it need not be taken to its bound.
            unknown = position in seen or not self.can_be_read(position, extent)
            if unknown or len(seen) >= most_blocks:
                return False
            seen.add(position)
            position = self.read(position).next
        return True

    def write_free(
        self, address: VirtualAddress, size_bytes: int, following: VirtualAddress, previous: VirtualAddress
    ) -> HeapBlock:
        """Write the header of a new free block; padding keeps what it held (§7.1)."""
        self.set_size(address, size_bytes)
        self.set_state(address, FREE)
        self.set_next(address, following)
        self._write(address, _PREV, previous)
        self.fields.add("total_free_", size_bytes)
        return self.read(address)

    def insert_after(self, block: HeapBlock, address: VirtualAddress, size_bytes: int) -> HeapBlock:
        """Write a free block at `address` and link it after `block`."""
        made = self.write_free(address, size_bytes, block.next, block.address)
        self.set_prev(block.next, address)
        self.set_next(block.address, address)
        return made

    def absorb(self, block: HeapBlock, other: HeapBlock) -> HeapBlock:
        """Join the free block `other`, which `block` touches, to it: `block` as it is then (§7.5).

        The bytes of the absorbed header stay as they are. A `block` that is free grows
        `total_free_`; one that is used is accounted for by the caller.
        """
        self.set_size(block.address, block.size_bytes + HEADER_BYTES + other.size_bytes)
        self.set_next(block.address, other.next)
        self.set_prev(other.next, block.address)
        self.fields.add("total_free_", HEADER_BYTES if is_free(block) else -other.size_bytes)
        return self.read(block.address)

    def set_size(self, address: VirtualAddress, size_bytes: int) -> None:
        """Write a block's size."""
        self._write(address, _SIZE, size_bytes)

    def set_state(self, address: VirtualAddress, state: tuple[int, int]) -> None:
        """Write a block's `is_free` and magic: `FREE` or `USED` (§7.3)."""
        free, magic = state
        self.fields.memory.write(VirtualAddress(address + _IS_FREE), struct.pack("<B", free))
        self._write(address, _MAGIC, magic)

    def set_next(self, address: VirtualAddress, following: VirtualAddress) -> None:
        """Write a block's `next`."""
        self._write(address, _NEXT, following)

    def set_prev(self, address: VirtualAddress, previous: VirtualAddress) -> None:
        """Write a block's `prev`; for null, the list's end, nothing is to be written."""
        if address:
            self._write(address, _PREV, previous)

    def _write(self, address: VirtualAddress, offset_bytes: int, value: int) -> None:
        self.fields.memory.write_u64(VirtualAddress(address + offset_bytes), value)
