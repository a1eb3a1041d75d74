"""The kernel heap: first fit over one list of blocks (docs/spec.md §7).

Its regions come from the manager of virtual regions, their pages from the frame allocator; it grows
when nothing fits and never shrinks.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from model.errors import ErrorKind, Refusal
from model.events import Journal, Listener, Part, discard
from model.frames import FrameAllocator
from model.heap_blocks import (
    FREE,
    HEADER_BYTES,
    RULES,
    SPLIT_BYTES,
    USED,
    HeapBlocks,
    data_of,
    end_of,
    is_free,
    touches,
)
from model.layouts import HEAP
from model.memory import VirtualMemory
from model.page_tables import PageFlags, PageTables
from model.records import HeapBlock
from model.regions import RegionAllocator
from model.structure import Structure
from model.types import PAGE_BYTES, U64_MASK, PhysicalAddress, VirtualAddress, align_up, is_aligned

LARGEST_BYTES: Final = 1 << 40  # §7.4
EXPANSION_BYTES: Final = 65536  # §7.8
_NULL: Final = VirtualAddress(0)


@dataclass(frozen=True, slots=True)
class HeapAllocator:
    """The object `memory::heap` and its blocks, both in memory."""

    fields: Structure
    blocks: HeapBlocks
    journal: Journal
    regions: RegionAllocator
    frames: FrameAllocator
    paging: PageTables

    @staticmethod
    def at(
        memory: VirtualMemory,
        address: VirtualAddress,
        regions: RegionAllocator,
        frames: FrameAllocator,
        paging: PageTables,
        listener: Listener = discard,
    ) -> "HeapAllocator":
        """The heap whose object lies at `address`."""
        fields = Structure(memory, HEAP, address)
        journal = Journal(Part.HEAP, memory, fields.field_address("errors_"), listener)
        return HeapAllocator(fields, HeapBlocks(fields, regions), journal, regions, frames, paging)

    # The operations, as the kernel's callers see them.

    def malloc(self, size_bytes: int) -> VirtualAddress:
        """Give `size_bytes`, or 0 (§7.4)."""
        size_bytes &= U64_MASK
        return VirtualAddress(self.journal.conclude("malloc", (size_bytes,), self._malloc(size_bytes)))

    def free(self, pointer: int) -> bool:
        """Take back what `malloc` gave; whether there was something to take back (§7.5)."""
        pointer &= U64_MASK
        return bool(self.journal.conclude("free", (pointer,), self._free(pointer)))

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

    def aligned_alloc(self, alignment: int, size_bytes: int) -> VirtualAddress:
        """Give `size_bytes` at a multiple of `alignment`, or 0 (§7.7)."""
        alignment, size_bytes = alignment & U64_MASK, size_bytes & U64_MASK
        outcome = self._aligned_alloc(alignment, size_bytes)
        return VirtualAddress(self.journal.conclude("aligned_alloc", (alignment, size_bytes), outcome))

    def validate_heap(self) -> bool:
        """Whether every block reached, the links and the totals are right (§7.9)."""
        return bool(self.journal.conclude("validate_heap", (), int(self._is_sound())))

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
        address = VirtualAddress(self.fields.get("first_block_"))
        while address != _NULL:
            # Every header is judged before it is believed; `prev` also makes a cycle impossible.
            block = self.blocks.read_valid(address, extent)
            if block is None or block.prev != (last.address if last else _NULL):
                return Refusal(ErrorKind.CORRUPTION_DETECTED, address)
            if is_free(block) and fits(block):
                # §7.3a: it will be taken, and what follows it linked anew.
                if not self.blocks.is_followed_well(block, extent):
                    return Refusal(ErrorKind.CORRUPTION_DETECTED, address)
                return block
            last, address = block, block.next
        return self._expand(last, expansion_bytes)

    def _take(self, block: HeapBlock, size: int) -> VirtualAddress:
        """Make a free block used, cut to `size` (§7.4); its data."""
        self._cut(block, size)
        taken = self.blocks.read(block.address)
        self.blocks.set_state(block.address, USED)
        self.fields.add("total_free_", -taken.size_bytes)
        self.fields.add("total_allocated_", taken.size_bytes)
        self.fields.add("num_allocations_", 1)
        return data_of(taken)

    def _cut(self, block: HeapBlock, size: int) -> HeapBlock | None:
        """Make what a block has beyond `size` a free block, when it is enough for one (§7.4).

        The total that counted `block` is reduced by what the block loses.
        """
        rest_bytes = block.size_bytes - size
        if rest_bytes < SPLIT_BYTES:
            return None
        self.blocks.set_size(block.address, size)
        self.fields.add("total_free_" if is_free(block) else "total_allocated_", -rest_bytes)
        rest = VirtualAddress(data_of(block) + size)
        return self.blocks.insert_after(block, rest, rest_bytes - HEADER_BYTES)

    # §7.5 free

    def _free(self, pointer: int) -> int | Refusal:
        if pointer == 0:
            return 0
        # check
        block = self._check(pointer)
        if isinstance(block, Refusal):
            return block
        if self._absorbs_badly(block):
            return Refusal(ErrorKind.CORRUPTION_DETECTED, pointer)
        # commit
        self.blocks.set_state(block.address, FREE)
        self.fields.add("total_allocated_", -block.size_bytes)
        self.fields.add("total_free_", block.size_bytes)
        self.fields.add("num_frees_", 1)
        block = self._absorb_next(self.blocks.read(block.address))
        if block.prev:
            before = self.blocks.read(block.prev)
            if is_free(before) and touches(before, block):
                self.blocks.absorb(before, block)
        return 1

    def _check(self, pointer: int) -> HeapBlock | Refusal:
        """The used block whose data begins at `pointer`, or what is wrong with it (§7.5)."""
        extent, address = self.blocks.extent(), VirtualAddress(pointer - HEADER_BYTES)
        if not self.blocks.can_be_read(address, extent):
            return Refusal(ErrorKind.INVALID_POINTER, pointer)
        block = self.blocks.read(address)
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
        if not block.next:
            return False
        after = self.blocks.read(block.next)
        absorbed = is_free(after) and touches(block, after)
        return absorbed and not self.blocks.is_followed_well(after, self.blocks.extent())

    def _absorb_next(self, block: HeapBlock) -> HeapBlock:
        """Join the next block, if it is free and touched; `block` as it is then."""
        if block.next:
            after = self.blocks.read(block.next)
            if is_free(after) and touches(block, after):
                return self.blocks.absorb(block, after)
        return block

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
            rest = self._cut(block, size)
            if rest is not None:
                self._absorb_next(rest)
            return pointer
        # larger: in place when the next block is free and large enough
        if self._can_grow(block, size):
            self._grow_in_place(block, size)
            return pointer
        # elsewhere: a new block, the data copied, the old one freed
        moved = self._malloc(size)
        if isinstance(moved, Refusal):
            return moved
        memory = self.fields.memory
        memory.write(VirtualAddress(moved), memory.read(data_of(block), block.size_bytes))
        self._free(pointer)
        return moved

    def _can_grow(self, block: HeapBlock, size: int) -> bool:
        """Whether the next block is free, touched and large enough (§7.6)."""
        if block.next == _NULL:
            return False
        after = self.blocks.read(block.next)
        enough = block.size_bytes + HEADER_BYTES + after.size_bytes >= size
        return is_free(after) and touches(block, after) and enough

    def _grow_in_place(self, block: HeapBlock, size: int) -> None:
        """Absorb the next block and cut what is too much (§7.6)."""
        grown = self.blocks.absorb(block, self.blocks.read(block.next))
        self.fields.add("total_allocated_", grown.size_bytes - block.size_bytes)
        self._cut(grown, size)

    # §7.7 calloc, aligned_alloc

    def _calloc(self, count: int, size_bytes: int) -> int | Refusal:
        total_bytes = count * size_bytes
        if total_bytes > U64_MASK:
            return Refusal(ErrorKind.OUT_OF_MEMORY, size_bytes)
        pointer = self._malloc(total_bytes)
        if isinstance(pointer, Refusal) or pointer == 0:
            return pointer
        self.fields.memory.fill(VirtualAddress(pointer), align_up(total_bytes, RULES.alignment_bytes))
        return pointer

    def _aligned_alloc(self, alignment: int, size_bytes: int) -> int | Refusal:
        # check
        if alignment == 0 or alignment & (alignment - 1):
            return Refusal(ErrorKind.INVALID_POINTER, alignment)
        if alignment <= RULES.alignment_bytes:
            return self._malloc(size_bytes)
        size = rounded(size_bytes)
        if isinstance(size, Refusal):
            return size
        if size == 0:
            return 0
        # find
        block = self._find(
            lambda candidate: _front_bytes(candidate, alignment) + size <= candidate.size_bytes,
            size + alignment + SPLIT_BYTES,
        )
        if isinstance(block, Refusal):
            return block
        # split: the front stays free
        front_bytes = _front_bytes(block, alignment)
        if front_bytes:
            rest = self._cut(block, front_bytes - HEADER_BYTES)
            assert rest is not None, "what follows the front holds at least a header and 16 bytes"
            block = rest
        # split, commit
        return self._take(block, size)

    # §7.8 expansion

    def _expand(self, last: HeapBlock | None, size_bytes: int) -> HeapBlock | Refusal:
        """Add a region for `size_bytes` behind the block `last`; the last block after that (§7.8)."""
        region_bytes = max(EXPANSION_BYTES, align_up(size_bytes + HEADER_BYTES, PAGE_BYTES))
        base = self.regions.alloc(region_bytes)
        if base == _NULL:
            return Refusal(ErrorKind.VIRTUAL_SPACE_EXHAUSTED, region_bytes)
        if not self._map_region(base, region_bytes):
            return Refusal(ErrorKind.OUT_OF_MEMORY, region_bytes)
        # commit
        extent, end = self.blocks.extent(), base + region_bytes
        is_first_region = self.fields.get("heap_size_") == 0
        self.fields.set("heap_start_", base if is_first_region else min(extent.start, base))
        self.fields.set("heap_end_", max(extent.end, end))
        self.fields.add("heap_size_", region_bytes)
        self.fields.add("num_expansions_", 1)
        if last is None:
            self.fields.set("first_block_", base)
            return self.blocks.write_free(base, region_bytes - HEADER_BYTES, _NULL, _NULL)
        if is_free(last) and end_of(last) == base:
            self.blocks.set_size(last.address, last.size_bytes + region_bytes)
            self.fields.add("total_free_", region_bytes)
            return self.blocks.read(last.address)
        return self.blocks.insert_after(last, base, region_bytes - HEADER_BYTES)

    def _map_region(self, base: VirtualAddress, size_bytes: int) -> bool:
        """Give every page of a region a frame; what fails is undone in reverse order (§7.8)."""
        mapped: list[tuple[int, PhysicalAddress]] = []
        for page in range(base, base + size_bytes, PAGE_BYTES):
            frame = self.frames.alloc()
            if frame and self.paging.map(self.paging.kernel_directory, page, frame, PageFlags.WRITE):
                mapped.append((page, frame))
                continue
            if frame:
                self.frames.free(frame)
            for undone, _ in reversed(mapped):
                self.paging.unmap(self.paging.kernel_directory, undone)
            for _, undone_frame in reversed(mapped):
                self.frames.free(undone_frame)
            self.regions.free(base, size_bytes)
            return False
        return True

    # §7.9 validation

    def _is_sound(self) -> bool:
        extent, allocated, free = self.blocks.extent(), 0, 0
        before: HeapBlock | None = None
        address = VirtualAddress(self.fields.get("first_block_"))
        while address != _NULL:
            block = self.blocks.read_valid(address, extent)
            if block is None or block.prev != (before.address if before else _NULL):
                return False
            if before is not None and not _may_follow(before, block):
                return False
            if is_free(block):
                free += block.size_bytes
            else:
                allocated += block.size_bytes
            before, address = block, block.next
        totals = (self.fields.get("total_allocated_"), self.fields.get("total_free_"))
        return totals == (allocated, free)


def rounded(size_bytes: int) -> int | Refusal:
    """A size as blocks have it (§7.4)."""
    if size_bytes > LARGEST_BYTES:
        return Refusal(ErrorKind.OUT_OF_MEMORY, size_bytes)
    return align_up(size_bytes, RULES.alignment_bytes)


def _front_bytes(block: HeapBlock, alignment: int) -> int:
    """From a block's data to the lowest multiple of `alignment` that leaves nothing or a block (§7.7)."""
    data = data_of(block)
    if is_aligned(data, alignment):
        return 0
    return align_up(data + SPLIT_BYTES, alignment) - data


def _may_follow(before: HeapBlock, block: HeapBlock) -> bool:
    """Whether two blocks may be neighbours in the list (§7.2, §7.9)."""
    if touches(before, block):
        return not (is_free(before) and is_free(block))
    return is_aligned(end_of(before), PAGE_BYTES) and is_aligned(block.address, PAGE_BYTES)
