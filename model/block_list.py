"""Blocks of a heap: headers, their validity, cutting and joining (docs/spec.md §7.1 to §7.5).

A block is a 48-byte header and the data behind it. Blocks form a doubly linked list. The kernel heap and
the heaps of processes differ in where headers may lie, how they are reached and what is counted. A block
held here is a copy: what is changed is written back at once.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from typing import Final

from model.layouts import HEAP_BLOCK
from model.records import HeapBlock, HeapRules, Region
from model.structure import Structure, decoder
from model.types import U64_MASK, VirtualAddress, is_aligned

RULES: Final = HeapRules()
HEADER_BYTES: Final = RULES.header_bytes
SPLIT_BYTES: Final = HEADER_BYTES + RULES.minimum_bytes  # §7.4: what a split must leave

FREE: Final = (1, RULES.magic_free)
USED: Final = (0, RULES.magic_used)

_HEADER = decoder(HEAP_BLOCK, "size", "is_free", "next", "prev", "magic")
_OFFSETS = {member.name: member.offset_bytes for member in HEAP_BLOCK.members}


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
    """Where headers may lie: [start, end), but in no free region of addresses (§7.2, §7.3)."""

    start: int
    end: int
    holes: tuple[Region, ...] = ()

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
class BlockList(ABC):
    """The blocks of the heap whose object is `fields`."""

    fields: Structure

    # What differs.

    @abstractmethod
    def extent(self) -> Extent:
        """Where headers may lie at the moment."""

    @abstractmethod
    def most_blocks(self) -> int:
        """How many blocks there can be (§7.5, §15.3)."""

    @abstractmethod
    def longest_walk(self) -> int | None:
        """How many blocks a walk looks at; None for no bound besides the back links (§7.4, §15.3)."""

    @abstractmethod
    def _load(self, address: int) -> bytes | None:
        """The bytes of a header; None where nothing is mapped."""

    @abstractmethod
    def _store(self, address: int, data: bytes) -> None:
        """Write some bytes of a header."""

    # Looking.

    def read(self, address: int, extent: Extent) -> HeapBlock | None:
        """The header at `address`, whatever it holds; None where none may be looked at (§7.3)."""
        data = self._load(address) if extent.can_hold_header(address) else None
        if data is None:
            return None
        size, free, following, previous, magic = _HEADER.unpack(data)
        where = VirtualAddress(address)
        return HeapBlock(where, size, free, VirtualAddress(following), VirtualAddress(previous), magic)

    def read_valid(self, address: int, extent: Extent) -> HeapBlock | None:
        """The header at `address`; None when it is not valid (§7.3)."""
        block = self.read(address, extent)
        return block if block is not None and extent.is_valid(block) else None

    def walk(self, extent: Extent) -> Iterator[HeapBlock | VirtualAddress]:
        """The blocks in list order; the address of one that cannot be believed ends them (§7.4)."""
        before, address = VirtualAddress(0), VirtualAddress(self.fields.get("first_block_"))
        most = self.longest_walk()
        for _ in count() if most is None else range(most):
            if address == 0:
                return
            # Every header is judged before it is believed; `prev` also makes a cycle impossible.
            block = self.read_valid(address, extent)
            if block is None or block.prev != before:
                break
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
        """Whether `next` leads from `first_block_` to `address`, within the bounds of §7.5."""
        position, seen, most = self.fields.get("first_block_"), set[int](), self.most_blocks()
        while position != address:
            # A walk that comes back to a block never arrives: it need not be taken to its bound.
            block = self.read(position, extent) if position not in seen and len(seen) < most else None
            if block is None:
                return False
            seen.add(position)
            position = block.next
        return True

    def free_next(self, block: HeapBlock) -> HeapBlock | None:
        """The block that follows, when it is free and touched."""
        after = self.read_valid(block.next, self.extent()) if block.next else None
        return after if after is not None and is_free(after) and touches(block, after) else None

    # Changing. The counters stay exact; who turns free into used accounts for that.

    def write_free(self, address: int, size_bytes: int, following: int, previous: int) -> HeapBlock:
        """Write the header of a new free block and count it; padding keeps what it held (§7.1)."""
        self.set_size(address, size_bytes)
        self.set_state(address, FREE)
        self.set_next(address, following)
        self.set_prev(address, previous)
        self.count("total_free_", size_bytes)
        self.count("num_blocks_", 1)
        where, links = VirtualAddress(address), (VirtualAddress(following), VirtualAddress(previous))
        return HeapBlock(where, size_bytes, FREE[0], *links, FREE[1])

    def insert_after(self, block: HeapBlock, address: int, size_bytes: int) -> HeapBlock:
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
        size = block.size_bytes + HEADER_BYTES + other.size_bytes
        self.set_size(block.address, size)
        self.set_next(block.address, other.next)
        self.set_prev(other.next, block.address)
        self.count("total_free_", HEADER_BYTES if is_free(block) else -other.size_bytes)
        self.count("num_blocks_", -1)
        return HeapBlock(block.address, size, block.is_free, other.next, block.prev, block.magic)

    def cut(self, block: HeapBlock, size: int) -> HeapBlock | None:
        """Make what a block has beyond `size` a free block, when it is enough for one (§7.4).

        The total that counted `block` is reduced by what the block loses.
        """
        rest_bytes = block.size_bytes - size
        if rest_bytes < SPLIT_BYTES:
            return None
        self.set_size(block.address, size)
        self.count("total_free_" if is_free(block) else "total_allocated_", -rest_bytes)
        return self.insert_after(block, data_of(block) + size, rest_bytes - HEADER_BYTES)

    def count(self, counter: str, delta: int) -> None:
        """Add to a counter of the object; each kind of heap keeps its own (§7.1, §15.2)."""
        if counter in self.fields:
            self.fields.add(counter, delta)

    def set_size(self, address: int, size_bytes: int) -> None:
        """Write a block's size."""
        self._set(address, "size", size_bytes)

    def set_state(self, address: int, state: tuple[int, int]) -> None:
        """Write a block's `is_free` and magic: `FREE` or `USED` (§7.3)."""
        free, magic = state
        self._store(address + _OFFSETS["is_free"], bytes([free]))
        self._set(address, "magic", magic)

    def set_next(self, address: int, following: int) -> None:
        """Write a block's `next`."""
        self._set(address, "next", following)

    def set_prev(self, address: int, previous: int) -> None:
        """Write a block's `prev`; for null, the list's end, nothing is to be written."""
        if address:
            self._set(address, "prev", previous)

    def _set(self, address: int, name: str, value: int) -> None:
        self._store(address + _OFFSETS[name], (value & U64_MASK).to_bytes(8, "little"))
