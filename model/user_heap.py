"""A process's heap: first fit over one list of blocks in user memory (docs/spec.md §15.3, §15.4).

The algorithms are those of the kernel heap (§7.4 to §7.7). What differs: the process can overwrite every
header, so walks are bounded as well; growth maps pages where the heap ends, and `brk` can move that end
while there is no block yet.
"""

from dataclasses import dataclass

from model.address_space import USER_HEAP_LIMIT, USER_HEAP_START
from model.errors import ErrorKind, Refusal
from model.events import Journal, Listener, Part, discard
from model.first_fit import FirstFit, expansion_bytes
from model.layouts import USER_ALLOCATOR
from model.memory import VirtualMemory
from model.page_tables import PageFlags
from model.records import HeapBlock
from model.structure import Structure
from model.types import PAGE_BYTES, U64_MASK, VirtualAddress, align_up
from model.user_blocks import UserBlocks
from model.user_memory import UserMemory


@dataclass(frozen=True, slots=True)
class UserHeap(FirstFit):
    """The object `memory::user_allocator` in kernel memory, and its blocks in user memory."""

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

    # The operations that differ; `free` tells a refusal from the null pointer.

    def free(self, pointer: int) -> bool:
        """Take back what `malloc` gave; False when that is refused, null is not (§7.5)."""
        pointer &= U64_MASK
        outcome = self._free(pointer) if pointer else 1
        return bool(self.journal.conclude("free", (pointer,), outcome))

    def brk(self, address: int) -> VirtualAddress:
        """Move the heap's end while it has no block; where it is then (§15.4)."""
        address &= U64_MASK
        return VirtualAddress(self.journal.conclude("brk", (address,), self._brk(address)))

    # §15.3 expansion

    def _expand(self, last: HeapBlock | None, size_bytes: int) -> HeapBlock | Refusal:
        """Map pages behind the heap for `size_bytes`; the last block after that (§15.3)."""
        added_bytes = expansion_bytes(size_bytes)
        base = self.fields.get("heap_current_")
        if base + added_bytes > self.fields.get("heap_limit_"):
            return Refusal(ErrorKind.VIRTUAL_SPACE_EXHAUSTED, added_bytes)
        if not self.user.map_pages(range(base, base + added_bytes, PAGE_BYTES), PageFlags.WRITE):
            return Refusal(ErrorKind.OUT_OF_MEMORY, added_bytes)
        # commit
        self.fields.set("heap_current_", base + added_bytes)
        if last is None:
            self.fields.set("heap_start_", base)  # §15.4: what brk gave stays outside
        return self._append(last, base, added_bytes)

    # §15.4 brk

    def _brk(self, address: int) -> int:
        current = self.fields.get("heap_current_")
        limit = min(self.fields.get("heap_limit_"), USER_HEAP_LIMIT)  # a damaged one bounds nothing
        inside = USER_HEAP_START <= address <= limit and USER_HEAP_START <= current <= limit
        if address == 0 or self.fields.get("first_block_") or not inside:
            return current
        end = align_up(address, PAGE_BYTES)
        if end > current and not self.user.map_pages(range(current, end, PAGE_BYTES), PageFlags.WRITE):
            return current
        for page in reversed(range(end, current, PAGE_BYTES)):
            self.user.unmap_page(page)
        self.fields.set("heap_current_", end)
        return end

    # Data.

    def _copy(self, target: int, source: int, size_bytes: int) -> None:
        self.user.copy(target, source, size_bytes)

    def _zero(self, address: int, size_bytes: int) -> None:
        self.user.fill(address, size_bytes)
