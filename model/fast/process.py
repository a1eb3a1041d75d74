"""One process: its pages, its heap, its mappings (docs/spec.md §14, §15)."""

from dataclasses import dataclass, field
from typing import Final

from model.address_space import (
    MMAP_END,
    MMAP_START,
    PROGRAM_END,
    PROGRAM_START,
    USER_HEAP_LIMIT,
    USER_HEAP_START,
    USER_STACK_END,
    USER_STACK_START,
)
from model.errors import ErrorKind
from model.fast.heap import FastHeap
from model.fast.regions import FastRegions
from model.fast.tables import UNKNOWN_FLAGS
from model.fast.user_heap import FastUserHeap
from model.fast.user_pages import USER_CONSTANT, USER_DATA, UserPages
from model.layouts import NODE
from model.process import STACK_BYTES
from model.process_memory import READ, WRITE
from model.trace import TraceRecord
from model.types import PAGE_BYTES, U64_MASK

_OFFSET: Final = PAGE_BYTES - 1


@dataclass(slots=True, kw_only=True)
class FastMappings(FastRegions):
    """The manager `mmap_`: its nodes are blocks of the kernel heap (§15.6)."""

    heap: FastHeap

    def setup(self) -> bool:
        """All of the space is free; False without memory for the node."""
        node = self.heap.nested_malloc(NODE.size_bytes)
        if node:
            self.start, self.end = MMAP_START, MMAP_END
            self.free.append((MMAP_START, MMAP_END - MMAP_START, node))
        else:
            self.errors[ErrorKind.OUT_OF_MEMORY] += 1
        return node != 0

    def _take_node(self) -> int:
        self.diary.depth += 1
        node = self.heap.nested_malloc(NODE.size_bytes)
        self.diary.depth -= 1
        return node

    def _put_node(self, node: int) -> None:
        self.diary.depth += 1
        self.heap.nested_free(node)
        self.diary.depth -= 1

    def _grow_pool(self) -> None:
        """It has no pool."""


@dataclass(frozen=True, slots=True)
class Doubt:
    """The first call on a process's heap that did otherwise than its own headers say it must.

    `expected` is what it would have given; None when the two differ in whether they mapped pages.
    """

    pid: int
    record: TraceRecord
    expected: int | None


@dataclass(slots=True)
class FastProcess:
    """A live process; `program` are the pages that its loading mapped, in that order."""

    address: int
    pid: int
    pages: UserPages
    heap: FastUserHeap
    mappings: FastMappings
    stack_start: int = 0
    program: dict[int, None] = field(default_factory=dict)
    doubt: Doubt | None = None
    """Set once the process must have written over its own headers: its heap cannot be followed then."""

    def setup_stack(self) -> bool:
        """§14.3."""
        start = USER_STACK_END - STACK_BYTES
        if not self.pages.map(range(start, USER_STACK_END, PAGE_BYTES), USER_DATA):
            return False
        self.stack_start = start
        return True

    def grow_stack(self, address: int) -> int:
        """§14.5."""
        if not USER_STACK_START <= address < self.stack_start:
            return 0
        page = address & ~_OFFSET
        if not self.pages.map(reversed(range(page, self.stack_start, PAGE_BYTES)), USER_DATA):
            return 0
        self.stack_start = page
        return 1

    def mmap(self, address: int, length_bytes: int, protection: int) -> int:
        """§15.5."""
        mappings = self.mappings
        if protection not in (READ, READ | WRITE) or length_bytes == 0:
            mappings.errors[ErrorKind.INVALID_POINTER] += 1
            return 0
        start = mappings.alloc_at(address, length_bytes) if address else mappings.alloc(length_bytes)
        if start == 0:
            return 0
        end = start + ((length_bytes + _OFFSET) & ~_OFFSET)
        flags = USER_DATA if protection & WRITE else USER_CONSTANT
        if not self.pages.map(range(start, end, PAGE_BYTES), flags):
            mappings.release(start, length_bytes)
            mappings.errors[ErrorKind.OUT_OF_MEMORY] += 1
            return 0
        return start

    def munmap(self, address: int, length_bytes: int) -> int:
        """§15.5."""
        end = address + length_bytes
        if (address | length_bytes) & _OFFSET or not MMAP_START <= address < end <= MMAP_END:
            return U64_MASK
        pages = range(address, end, PAGE_BYTES)
        if not all(map(self.pages.is_mapped, pages)):
            return U64_MASK
        for page in pages:
            self.pages.unmap(page)
        self.mappings.release(address, length_bytes)
        return 0

    def cleanup(self) -> None:
        """Give everything back (§14.6)."""
        frames, tables = self.pages.frames, self.pages.tables
        pages, below = self.pages.contents()
        for page in pages:
            self.pages.unmap(page)
        for table in (*below, self.pages.directory):
            frames.release(table)
            tables.forget(table)
        for _, _, node in self.mappings.free:
            self.mappings.heap.nested_free(node)

    def flags_of(self, page: int) -> int:
        """The flags of a page that is mapped by no operation of the process itself."""
        if USER_HEAP_START <= page < USER_HEAP_LIMIT or USER_STACK_START <= page < USER_STACK_END:
            return USER_DATA
        return UNKNOWN_FLAGS

    def loads(self, page: int) -> bool:
        """Whether a page is one of a program."""
        return PROGRAM_START <= page < PROGRAM_END
