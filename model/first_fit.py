"""What the kernel heap and the heaps of processes have in common (docs/spec.md §7.4 to §7.7, §15.3).

First fit over one list of blocks. Every operation has the sections check, find, split, commit; a refusal
changes nothing.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from model.block_list import (
    FREE,
    HEADER_BYTES,
    RULES,
    SPLIT_BYTES,
    USED,
    BlockList,
    data_of,
    end_of,
    is_free,
    touches,
)
from model.errors import ErrorKind, Refusal
from model.events import Journal
from model.records import HeapBlock
from model.structure import Structure
from model.types import PAGE_BYTES, U64_MASK, VirtualAddress, align_up

LARGEST_BYTES: Final = 1 << 40  # §7.4
EXPANSION_BYTES: Final = 65536  # §7.8


@dataclass(frozen=True, slots=True)
class FirstFit(ABC):
    """The object of a heap and its blocks, both in memory."""

    fields: Structure
    blocks: BlockList
    journal: Journal

    # What differs.

    @abstractmethod
    def _expand(self, last: HeapBlock | None, size_bytes: int) -> HeapBlock | Refusal:
        """More memory for `size_bytes` behind the block `last`; the last block after that (§7.8, §15.3)."""

    @abstractmethod
    def _copy(self, target: int, source: int, size_bytes: int) -> None:
        """Copy data, as memmove does."""

    @abstractmethod
    def _zero(self, address: int, size_bytes: int) -> None:
        """Zero data."""

    # The operations, as their callers see them.

    def malloc(self, size_bytes: int) -> VirtualAddress:
        """Give `size_bytes`, or 0 (§7.4)."""
        size_bytes &= U64_MASK
        return VirtualAddress(self.journal.conclude("malloc", (size_bytes,), self._malloc(size_bytes)))

    def realloc(self, pointer: int, size_bytes: int) -> VirtualAddress:
        """Give the data at `pointer` another size, in place or elsewhere; or 0 (§7.6)."""
        pointer, size_bytes = pointer & U64_MASK, size_bytes & U64_MASK
        outcome = self._realloc(pointer, size_bytes)
        return VirtualAddress(self.journal.conclude("realloc", (pointer, size_bytes), outcome))

    def calloc(self, count: int, size_bytes: int) -> VirtualAddress:
        """Give `count × size_bytes` zeroed bytes, or 0 (§7.7)."""
        count, size_bytes = count & U64_MASK, size_bytes & U64_MASK
        outcome = self._calloc(count, size_bytes)
        return VirtualAddress(self.journal.conclude("calloc", (count, size_bytes), outcome))

    # §7.4 malloc

    def _malloc(self, size_bytes: int) -> int | Refusal:
        # check
        size = rounded(size_bytes)
        if isinstance(size, Refusal):
            return size
        if size == 0:
            return 0
        # find
        block = self._find(lambda candidate: candidate.size_bytes >= size, size)
        if isinstance(block, Refusal):
            return block
        # split, commit
        return self._take(block, size)

    def _find(self, fits: Callable[[HeapBlock], bool], expansion_bytes: int) -> HeapBlock | Refusal:
        """The first free block that fits; when none does, the last one after an expansion (§7.4)."""
        extent = self.blocks.extent()
        last: HeapBlock | None = None
        for block in self.blocks.walk(extent):
            if not isinstance(block, HeapBlock):
                return Refusal(ErrorKind.CORRUPTION_DETECTED, block)
            if is_free(block) and fits(block):
                # §7.3a: it will be taken, and what follows it linked anew.
                if not self.blocks.is_followed_well(block, extent):
                    return Refusal(ErrorKind.CORRUPTION_DETECTED, block.address)
                return block
            last = block
        return self._expand(last, expansion_bytes)

    def _take(self, block: HeapBlock, size: int) -> VirtualAddress:
        """Make a free block used, cut to `size` (§7.4); its data."""
        taken_bytes = block.size_bytes if self.blocks.cut(block, size) is None else size
        self.blocks.set_state(block.address, USED)
        self.blocks.count("total_free_", -taken_bytes)
        self.blocks.count("total_allocated_", taken_bytes)
        self.blocks.count("num_allocations_", 1)
        return data_of(block)

    # §7.5 free

    def _free(self, pointer: int) -> int | Refusal:
        # check
        block = self._check(pointer)
        if isinstance(block, Refusal):
            return block
        if self._absorbs_badly(block):
            return Refusal(ErrorKind.CORRUPTION_DETECTED, pointer)
        # commit
        self.blocks.set_state(block.address, FREE)
        self.blocks.count("total_allocated_", -block.size_bytes)
        self.blocks.count("total_free_", block.size_bytes)
        self.blocks.count("num_frees_", 1)
        freed = HeapBlock(block.address, block.size_bytes, FREE[0], block.next, block.prev, FREE[1])
        freed = self._absorb_next(freed)
        before = self.blocks.read_valid(freed.prev, self.blocks.extent()) if freed.prev else None
        if before is not None and is_free(before) and touches(before, freed):
            self.blocks.absorb(before, freed)
        return 1

    def _check(self, pointer: int) -> HeapBlock | Refusal:
        """The used block whose data begins at `pointer`, or what is wrong with it (§7.5)."""
        extent, address = self.blocks.extent(), pointer - HEADER_BYTES
        block = self.blocks.read(address, extent)
        if block is None:
            return Refusal(ErrorKind.INVALID_POINTER, pointer)
        if block.magic == RULES.magic_free:
            return Refusal(ErrorKind.DOUBLE_FREE, pointer)
        if block.magic != RULES.magic_used:
            # A damaged header is in the list; anything else never was a block.
            listed = self.blocks.is_reachable(address, extent)
            kind = ErrorKind.CORRUPTION_DETECTED if listed else ErrorKind.INVALID_POINTER
            return Refusal(kind, pointer)
        if not extent.is_valid(block) or not self.blocks.is_linked(block, extent):
            return Refusal(ErrorKind.CORRUPTION_DETECTED, pointer)
        return block

    def _absorbs_badly(self, block: HeapBlock) -> bool:
        """Whether a linked block would absorb a next one that is not followed well (§7.3a)."""
        after = self.blocks.free_next(block)
        return after is not None and not self.blocks.is_followed_well(after, self.blocks.extent())

    def _absorb_next(self, block: HeapBlock) -> HeapBlock:
        """Join the next block, if it is free and touched; `block` as it is then."""
        after = self.blocks.free_next(block)
        return block if after is None else self.blocks.absorb(block, after)

    # §7.6 realloc

    def _realloc(self, pointer: int, size_bytes: int) -> int | Refusal:
        if pointer == 0:
            return self._malloc(size_bytes)
        if size_bytes == 0:
            freed = self._free(pointer)
            return freed if isinstance(freed, Refusal) else 0
        # check
        block = self._check(pointer)
        if isinstance(block, Refusal):
            return block
        size = rounded(size_bytes)
        if isinstance(size, Refusal):
            return size
        stays = 0 <= block.size_bytes - size < SPLIT_BYTES
        if not stays and self._absorbs_badly(block):
            return Refusal(ErrorKind.CORRUPTION_DETECTED, pointer)
        # smaller or equal: the rest becomes a free block, joined with the next one
        if size <= block.size_bytes:
            rest = self.blocks.cut(block, size)
            if rest is not None:
                self._absorb_next(rest)
            return pointer
        # larger: in place when the next block is free and large enough
        after = self.blocks.free_next(block)
        if after is not None and block.size_bytes + HEADER_BYTES + after.size_bytes >= size:
            grown = self.blocks.absorb(block, after)
            self.blocks.count("total_allocated_", grown.size_bytes - block.size_bytes)
            self.blocks.cut(grown, size)
            return pointer
        # elsewhere: a new block, the data copied, the old one freed
        moved = self._malloc(size)
        if isinstance(moved, Refusal):
            return moved
        self._copy(moved, pointer, block.size_bytes)
        freed = self._free(pointer)
        if isinstance(freed, Refusal):  # in a damaged heap the copy can lie over the old header
            self.journal.conclude("free", (pointer,), freed)
        return moved

    # §7.7 calloc

    def _calloc(self, count: int, size_bytes: int) -> int | Refusal:
        total_bytes = count * size_bytes
        if total_bytes > U64_MASK:
            return Refusal(ErrorKind.OUT_OF_MEMORY, size_bytes)
        pointer = self._malloc(total_bytes)
        if isinstance(pointer, Refusal) or pointer == 0:
            return pointer
        self._zero(pointer, align_up(total_bytes, RULES.alignment_bytes))
        return pointer

    # §7.8 expansion

    def _append(self, last: HeapBlock | None, base: int, size_bytes: int) -> HeapBlock:
        """Make memory that was added at `base` part of the list; the last block after that (§7.8)."""
        if last is None:
            self.fields.set("first_block_", base)
            return self.blocks.write_free(base, size_bytes - HEADER_BYTES, 0, 0)
        if is_free(last) and end_of(last) == base:
            grown_bytes = last.size_bytes + size_bytes
            self.blocks.set_size(last.address, grown_bytes)
            self.blocks.count("total_free_", size_bytes)
            return HeapBlock(last.address, grown_bytes, last.is_free, last.next, last.prev, last.magic)
        return self.blocks.insert_after(last, base, size_bytes - HEADER_BYTES)


def rounded(size_bytes: int) -> int | Refusal:
    """A size as blocks have it (§7.4)."""
    if size_bytes > LARGEST_BYTES:
        return Refusal(ErrorKind.OUT_OF_MEMORY, size_bytes)
    return align_up(size_bytes, RULES.alignment_bytes)


def expansion_bytes(size_bytes: int) -> int:
    """How much a heap grows at least when `size_bytes` do not fit (§7.8)."""
    return max(EXPANSION_BYTES, align_up(size_bytes + HEADER_BYTES, PAGE_BYTES))
