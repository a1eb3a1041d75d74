"""A process's heap: first fit over one list of blocks in user memory (docs/spec.md §15.3, §15.4).

The algorithms are those of the kernel heap (§7.4 to §7.7). What differs: the process can overwrite every
header, so walks are bounded as well; growth maps pages where the heap ends, and `brk` can move that end
while there is no block yet.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from model.address_space import USER_HEAP_LIMIT, USER_HEAP_START
from model.errors import ErrorKind, Refusal
from model.events import Journal, Listener, Part, discard
from model.heap import EXPANSION_BYTES, rounded
from model.heap_blocks import FREE, HEADER_BYTES, RULES, SPLIT_BYTES, USED, data_of, end_of, is_free, touches
from model.layouts import USER_ALLOCATOR
from model.memory import VirtualMemory
from model.page_tables import PageFlags
from model.records import HeapBlock
from model.structure import Structure
from model.types import PAGE_BYTES, U64_MASK, VirtualAddress, align_up
from model.user_blocks import UserBlocks
from model.user_memory import UserMemory

_NULL: Final = VirtualAddress(0)


@dataclass(frozen=True, slots=True)
class UserHeap:
    """The object `memory::user_allocator` in kernel memory, and its blocks in user memory."""

    fields: Structure
    blocks: UserBlocks
    journal: Journal
    user: UserMemory

    @staticmethod
    def at(
        memory: VirtualMemory, address: VirtualAddress, user: UserMemory, listener: Listener = discard
    ) -> "UserHeap":
        """The heap whose object lies at `address`."""
        fields = Structure(memory, USER_ALLOCATOR, address)
        journal = Journal(Part.USER_HEAP, memory, fields.field_address("errors_"), listener)
        return UserHeap(fields, UserBlocks(fields, user), journal, user)

    def setup(self) -> None:
        """Begin without a block and without a page (§15.3)."""
        self.fields.set("heap_start_", USER_HEAP_START)
        self.fields.set("heap_current_", USER_HEAP_START)
        self.fields.set("heap_limit_", USER_HEAP_LIMIT)
        self.fields.set("page_directory_", self.user.directory)

    # The operations; `accepted` of `free` tells a refusal from the null pointer, which both give 0.

    def malloc(self, size_bytes: int) -> VirtualAddress:
        """Give `size_bytes`, or 0 (§7.4)."""
        size_bytes &= U64_MASK
        return VirtualAddress(self.journal.conclude("malloc", (size_bytes,), self._malloc(size_bytes)))

    def free(self, pointer: int) -> bool:
        """Take back what `malloc` gave; False when that is refused, null is not (§7.5)."""
        pointer &= U64_MASK
        outcome = self._free(pointer) if pointer else 1
        return bool(self.journal.conclude("free", (pointer,), outcome))

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

    def brk(self, address: int) -> VirtualAddress:
        """Move the heap's end while it has no block; where it is then (§15.4)."""
        address &= U64_MASK
        return VirtualAddress(self.journal.conclude("brk", (address,), self._brk(address)))

    # §15.3 malloc

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
        self.fields.add("total_allocated_", taken_bytes)
        return data_of(block)

    def _expand(self, last: HeapBlock | None, size_bytes: int) -> HeapBlock | Refusal:
        """Map pages behind the heap for `size_bytes`; the last block after that (§15.3)."""
        added_bytes = max(EXPANSION_BYTES, align_up(size_bytes + HEADER_BYTES, PAGE_BYTES))
        base = self.fields.get("heap_current_")
        if base + added_bytes > self.fields.get("heap_limit_"):
            return Refusal(ErrorKind.VIRTUAL_SPACE_EXHAUSTED, added_bytes)
        if not self.user.map_pages(range(base, base + added_bytes, PAGE_BYTES), PageFlags.WRITE):
            return Refusal(ErrorKind.OUT_OF_MEMORY, added_bytes)
        # commit
        self.fields.set("heap_current_", base + added_bytes)
        if last is None:
            self.fields.set("heap_start_", base)  # §15.4: what brk gave stays outside
            self.fields.set("first_block_", base)
            return self.blocks.write_free(base, added_bytes - HEADER_BYTES, _NULL, _NULL)
        if is_free(last) and end_of(last) == base:
            self.blocks.set_size(last.address, last.size_bytes + added_bytes)
            grown_bytes = last.size_bytes + added_bytes
            return HeapBlock(last.address, grown_bytes, last.is_free, last.next, last.prev, last.magic)
        return self.blocks.insert_after(last, base, added_bytes - HEADER_BYTES)

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
        self.fields.add("total_allocated_", -block.size_bytes)
        self._absorb_next(block)
        extent = self.blocks.extent()
        before = self.blocks.read_valid(block.prev, extent) if block.prev else None
        freed = self.blocks.read(block.address, extent)
        if before is not None and freed is not None and is_free(before) and touches(before, freed):
            self.blocks.absorb(before, freed)
        return 1

    def _check(self, pointer: int) -> HeapBlock | Refusal:
        """The used block whose data begins at `pointer`, or what is wrong with it (§7.5)."""
        extent, address = self.blocks.extent(), pointer - HEADER_BYTES
        block = self.blocks.read(address, extent) if self.fields.get("first_block_") else None
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

    def _free_next(self, block: HeapBlock) -> HeapBlock | None:
        """The block that follows, when it is free and touched."""
        after = self.blocks.read_valid(block.next, self.blocks.extent()) if block.next else None
        return after if after is not None and is_free(after) and touches(block, after) else None

    def _absorbs_badly(self, block: HeapBlock) -> bool:
        """Whether a linked block would absorb a next one that is not followed well (§7.3a)."""
        after = self._free_next(block)
        return after is not None and not self.blocks.is_followed_well(after, self.blocks.extent())

    def _absorb_next(self, block: HeapBlock) -> None:
        """Join the next block, if it is free and touched."""
        after = self._free_next(block)
        if after is not None:
            self.blocks.absorb(block, after)

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
        after = self._free_next(block)
        if after is not None and block.size_bytes + HEADER_BYTES + after.size_bytes >= size:
            grown = self.blocks.absorb(block, after)
            self.fields.add("total_allocated_", grown.size_bytes - block.size_bytes)
            self.blocks.cut(grown, size)
            return pointer
        # elsewhere: a new block, the data copied, the old one freed
        moved = self._malloc(size)
        if isinstance(moved, Refusal):
            return moved
        self.user.copy(moved, pointer, block.size_bytes)
        self._free(pointer)
        return moved

    # §7.7 calloc

    def _calloc(self, count: int, size_bytes: int) -> int | Refusal:
        total_bytes = count * size_bytes
        if total_bytes > U64_MASK:
            return Refusal(ErrorKind.OUT_OF_MEMORY, size_bytes)
        pointer = self._malloc(total_bytes)
        if isinstance(pointer, Refusal) or pointer == 0:
            return pointer
        self.user.fill(pointer, align_up(total_bytes, RULES.alignment_bytes))
        return pointer

    # §15.4 brk

    def _brk(self, address: int) -> int:
        current = self.fields.get("heap_current_")
        inside = USER_HEAP_START <= address <= self.fields.get("heap_limit_")
        if address == 0 or self.fields.get("first_block_") or not inside:
            return current
        end = align_up(address, PAGE_BYTES)
        if end > current and not self.user.map_pages(range(current, end, PAGE_BYTES), PageFlags.WRITE):
            return current
        for page in reversed(range(end, current, PAGE_BYTES)):
            self.user.unmap_page(page)
        self.fields.set("heap_current_", end)
        return end
