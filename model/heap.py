"""The kernel heap: first fit over one list of blocks (docs/spec.md §7).

Its regions come from the manager of virtual regions, their pages from the frame allocator; it grows
when nothing fits and never shrinks.
"""

from dataclasses import dataclass
from typing import Final

from model.block_list import HEADER_BYTES, RULES, SPLIT_BYTES, data_of, end_of, is_free, touches
from model.errors import ErrorKind, Refusal
from model.events import Journal, Listener, Part, discard
from model.first_fit import FirstFit, expansion_bytes, rounded
from model.frames import FrameAllocator
from model.heap_blocks import HeapBlocks
from model.layouts import HEAP
from model.memory import VirtualMemory
from model.page_tables import PageFlags, PageTables
from model.records import HeapBlock
from model.regions import RegionAllocator
from model.structure import Structure
from model.types import PAGE_BYTES, U64_MASK, PhysicalAddress, VirtualAddress, align_up, is_aligned

_NULL: Final = VirtualAddress(0)


@dataclass(frozen=True, slots=True)
class HeapAllocator(FirstFit):
    """The object `memory::heap` and its blocks, both in memory."""

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

    # The operations that the kernel has besides (§7.4 to §7.7 are in `first_fit`).

    def free(self, pointer: int) -> bool:
        """Take back what `malloc` gave; whether there was something to take back (§7.5)."""
        pointer &= U64_MASK
        outcome = self._free(pointer) if pointer else 0
        return bool(self.journal.conclude("free", (pointer,), outcome))

    def aligned_alloc(self, alignment: int, size_bytes: int) -> VirtualAddress:
        """Give `size_bytes` at a multiple of `alignment`, or 0 (§7.7)."""
        alignment, size_bytes = alignment & U64_MASK, size_bytes & U64_MASK
        outcome = self._aligned_alloc(alignment, size_bytes)
        return VirtualAddress(self.journal.conclude("aligned_alloc", (alignment, size_bytes), outcome))

    def validate_heap(self) -> bool:
        """Whether every block reached, the links and the totals are right (§7.9)."""
        return bool(self.journal.conclude("validate_heap", (), int(self._is_sound())))

    # §7.7 aligned_alloc

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
            rest = self.blocks.cut(block, front_bytes - HEADER_BYTES)
            assert rest is not None, "what follows the front holds at least a header and 16 bytes"
            block = rest
        # split, commit
        return self._take(block, size)

    # §7.8 expansion

    def _expand(self, last: HeapBlock | None, size_bytes: int) -> HeapBlock | Refusal:
        """Add a region for `size_bytes` behind the block `last`; the last block after that (§7.8)."""
        region_bytes = expansion_bytes(size_bytes)
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
        return self._append(last, base, region_bytes)

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
            for undone, undone_frame in reversed(mapped):
                self.paging.unmap(self.paging.kernel_directory, undone)
                self.frames.free(undone_frame)
            self.regions.free(base, size_bytes)
            return False
        return True

    # §7.9 validation

    def _is_sound(self) -> bool:
        allocated, free = 0, 0
        before: HeapBlock | None = None
        for block in self.blocks.walk(self.blocks.extent()):
            if not isinstance(block, HeapBlock):
                return False
            if before is not None and not _may_follow(before, block):
                return False
            if is_free(block):
                free += block.size_bytes
            else:
                allocated += block.size_bytes
            before = block
        totals = (self.fields.get("total_allocated_"), self.fields.get("total_free_"))
        return totals == (allocated, free)

    # Data.

    def _copy(self, target: int, source: int, size_bytes: int) -> None:
        memory = self.fields.memory
        memory.write(VirtualAddress(target), memory.read(VirtualAddress(source), size_bytes))

    def _zero(self, address: int, size_bytes: int) -> None:
        self.fields.memory.fill(VirtualAddress(address), size_bytes)


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
