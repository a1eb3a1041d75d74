"""A process's heap while nobody but the kernel has written its headers (docs/spec.md §15.3, §15.4)."""

from dataclasses import dataclass
from typing import Final

from model.address_space import USER_HEAP_LIMIT, USER_HEAP_START
from model.errors import ErrorKind
from model.fast.blocks import FastBlocks
from model.fast.user_pages import USER_DATA, UserPages
from model.first_fit import LARGEST_BYTES
from model.trace import Operation
from model.types import PAGE_BYTES, U64_MASK

_HEADER: Final = 48
_OFFSET: Final = PAGE_BYTES - 1


@dataclass(slots=True, kw_only=True)
class FastUserHeap(FastBlocks):
    """The object `memory::user_allocator` and its blocks; `start` is what it calls `heap_start_`."""

    pages: UserPages
    start: int = USER_HEAP_START
    current: int = USER_HEAP_START

    def maps(self, operation: int, first: int, second: int) -> bool:
        """Whether a call would map pages: only then it leaves nested records."""
        match operation:
            case Operation.SYS_MALLOC:
                return self._expands(first)
            case Operation.SYS_CALLOC:
                return first * second <= U64_MASK and self._expands(first * second)
            case Operation.SYS_REALLOC if first == 0:
                return self._expands(second)
            case Operation.SYS_REALLOC if 0 < second <= LARGEST_BYTES:
                return self._moves(first - _HEADER, second) and self._expands(second)
        return False

    def call(self, operation: int, first: int, second: int) -> int:
        """One of the system calls malloc, free, realloc, calloc; what it gives."""
        match operation:
            case Operation.SYS_MALLOC:
                return self.malloc(first)
            case Operation.SYS_CALLOC:
                return self.calloc(first, second)
            case Operation.SYS_REALLOC:
                return self.realloc(first, second)
        frees = self.num_frees
        self.free(first)
        return 0 if first == 0 or self.num_frees > frees else U64_MASK

    def brk(self, address: int) -> int:
        """§15.4."""
        if not USER_HEAP_START <= address <= USER_HEAP_LIMIT or self.first_block:
            return self.current
        end = (address + _OFFSET) & ~_OFFSET
        if end > self.current and not self.pages.map(range(self.current, end, PAGE_BYTES), USER_DATA):
            return self.current
        for page in reversed(range(end, self.current, PAGE_BYTES)):
            self.pages.unmap(page)
        self.current = end
        return end

    def _expands(self, size_bytes: int) -> bool:
        size = (size_bytes + 15) & ~15
        if not 0 < size_bytes <= LARGEST_BYTES or self.index.first(size):
            return False
        return self.current + self._added(size) <= USER_HEAP_LIMIT

    def _added(self, size: int) -> int:
        return max(self.habits.expansion_bytes, (size + _HEADER + _OFFSET) & ~_OFFSET)

    def _moves(self, block: int, size_bytes: int) -> bool:
        """Whether a used block has to move for that size."""
        word, size = self.sizes.get(block, 0), (size_bytes + 15) & ~15
        if not word & 1 or size < word:
            return False
        after = block + _HEADER + word - 1
        after_word = self.sizes.get(after, 1)
        room = word - 1 if after_word & 1 else word - 1 + _HEADER + after_word
        return room < size

    def _more(self, size_bytes: int) -> int | ErrorKind:
        base = self.current
        if base + size_bytes > USER_HEAP_LIMIT:
            return ErrorKind.VIRTUAL_SPACE_EXHAUSTED
        if not self.pages.map(range(base, base + size_bytes, PAGE_BYTES), USER_DATA):
            return ErrorKind.OUT_OF_MEMORY
        self.current = base + size_bytes
        if not self.first_block:
            self.start = base  # §15.4: what brk gave stays outside
        return base
