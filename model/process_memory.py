"""The memory of one process: program, stack, heap and mappings in an address space of its own.

docs/spec.md §14.3 to §14.6, §15.2, §15.5, §15.6.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from model.address_space import (
    MMAP_END,
    MMAP_START,
    PROGRAM_START,
    USER_STACK_END,
    USER_STACK_START,
)
from model.errors import ErrorKind, Refusal
from model.events import Event, Journal, Listener, Part, discard
from model.frames import FrameAllocator
from model.heap import HeapAllocator
from model.layouts import PROCESS_MEMORY
from model.memory import VirtualMemory
from model.page_entry import ADDRESS_BITS, ENTRY_BYTES, PRESENT, Level, is_leaf
from model.page_tables import PageFlags, PageTables
from model.region_nodes import MOST_REGIONS
from model.regions import RegionAllocator
from model.structure import Structure
from model.types import (
    PAGE_BYTES,
    U64_MASK,
    PhysicalAddress,
    VirtualAddress,
    align_down,
    align_up,
    is_aligned,
)
from model.user_heap import UserHeap
from model.user_memory import UserMemory

READ, WRITE, EXECUTE = 1, 2, 4  # §15.1: the bits of mmap's protection
NODES_FROM_HEAP: Final = 1  # §15.6
_LOWER_HALF_BYTES: Final = 1 << 47


@dataclass(frozen=True, slots=True)
class ProcessMemory:
    """The object `memory::process_memory`; its pages, tables and nodes are the process's alone."""

    fields: Structure
    paging: PageTables
    frames: FrameAllocator
    kernel_heap: HeapAllocator
    listener: Listener

    @staticmethod
    def at(
        memory: VirtualMemory,
        address: VirtualAddress,
        paging: PageTables,
        frames: FrameAllocator,
        kernel_heap: HeapAllocator,
        listener: Listener = discard,
    ) -> "ProcessMemory":
        """The memory of the process whose object lies at `address`."""
        return ProcessMemory(
            Structure(memory, PROCESS_MEMORY, address), paging, frames, kernel_heap, listener
        )

    # Its parts.

    @property
    def directory(self) -> PhysicalAddress:
        """The physical address of its PML4."""
        return PhysicalAddress(self.fields.get("page_directory_"))

    @property
    def user(self) -> UserMemory:
        """Its pages, as the kernel reaches them."""
        return UserMemory(self.directory, self.paging, self.frames)

    @property
    def heap(self) -> UserHeap:
        """Its heap, which has the directory's address in a field of its own (§15.3)."""
        directory = PhysicalAddress(self.fields.get("heap_.page_directory_"))
        user = UserMemory(directory, self.paging, self.frames)
        return UserHeap.at(
            self.fields.memory, self.fields.field_address("heap_.heap_start_"), user, self.listener
        )

    @property
    def mappings(self) -> RegionAllocator:
        """Which addresses `mmap` may still give (§15.6)."""
        where = self.fields.field_address("mmap_.free_mem_list_.first_")
        return RegionAllocator.at(self.fields.memory, where, None, self.listener, self.kernel_heap)

    # §14.3 The beginning.

    def create(self) -> bool:
        """Make the directory, an empty heap and the space of `mmap`, in this order (§14.6a)."""
        self.fields.set("mmap_.nodes_from_", NODES_FROM_HEAP)
        directory = self.paging.create_user_page_directory()
        if directory == 0:
            return False
        self.fields.set("page_directory_", directory)
        self.heap_setup()
        return self.mappings.setup(MMAP_START, MMAP_END - MMAP_START)

    def heap_setup(self) -> None:
        """Begin the heap in the directory (§15.3)."""
        self.fields.set("heap_.page_directory_", self.directory)
        self.heap.setup()

    def setup_stack(self, size_bytes: int) -> bool:
        """Map the top of the stack (§14.3)."""
        start = USER_STACK_END - align_up(size_bytes & U64_MASK, PAGE_BYTES)
        if not start >= USER_STACK_START:
            return False
        if not self.user.map_pages(range(start, USER_STACK_END, PAGE_BYTES), PageFlags.WRITE):
            return False
        self.fields.set("stack_start_", start)
        self.fields.set("stack_end_", USER_STACK_END)
        return True

    def setup_memory_layout(self, code_start: int, code_bytes: int, data_start: int, data_bytes: int) -> bool:
        """Map the pages of the program, code first (§14.3)."""
        for name, start, size_bytes, flags in (
            ("code", code_start, code_bytes, PageFlags.EXECUTE),
            ("data", data_start, data_bytes, PageFlags.WRITE),
        ):
            end = align_up(start + size_bytes, PAGE_BYTES)
            if not self.user.map_pages(range(start, end, PAGE_BYTES), flags):
                return False
            self.fields.set(f"{name}_start_", start)
            self.fields.set(f"{name}_end_", end)
        return True

    # §14.5 The stack.

    def grow_stack(self, address: int) -> bool:
        """Map the stack down to the page of a fault's address; whether that is the stack's affair (§14.5)."""
        address &= U64_MASK
        if not USER_STACK_START <= address < USER_STACK_END:
            return False
        page, start = align_down(address, PAGE_BYTES), self.fields.get("stack_start_")
        grown = address < start <= USER_STACK_END and self.user.map_pages(
            reversed(range(page, start, PAGE_BYTES)), PageFlags.WRITE
        )
        if grown:
            self.fields.set("stack_start_", page)
        self.listener(Event(Part.PROCESS, "grow_stack", (address,), int(grown)))
        return grown

    # §15.2 Pointers.

    def validate_user_pointer(self, pointer: int, size_bytes: int, *, write: bool) -> bool:
        """Whether ring 3 may read, or write, all of [pointer, pointer + size_bytes) (§15.2)."""
        pointer, size_bytes = pointer & U64_MASK, size_bytes & U64_MASK
        end = pointer + size_bytes
        if size_bytes == 0 or pointer < PROGRAM_START or end > USER_STACK_END:
            return False
        pages = range(align_down(pointer, PAGE_BYTES), end, PAGE_BYTES)
        return all(self.user.is_accessible(page, write=write) for page in pages)

    # §15.5 Mappings.

    def mmap(self, address: int, length_bytes: int, protection: int) -> VirtualAddress:
        """Map zeroed pages, at `address` or (0) anywhere; where they are, or 0 (§15.5)."""
        arguments = (address & U64_MASK, length_bytes & U64_MASK, protection & U64_MASK)
        return VirtualAddress(self._mappings_journal.conclude("mmap", arguments, self._mmap(*arguments)))

    def _mmap(self, address: int, length_bytes: int, protection: int) -> int | Refusal:
        # check
        if protection not in (READ, READ | WRITE) or length_bytes == 0:
            return Refusal(ErrorKind.INVALID_POINTER, address)
        # find: what is refused is counted there
        mappings = self.mappings
        start = mappings.alloc_at(address, length_bytes) if address else mappings.alloc(length_bytes)
        if start == 0:
            return 0
        # commit
        end = start + align_up(length_bytes, PAGE_BYTES)
        flags = PageFlags.WRITE if protection & WRITE else PageFlags.NONE
        if not self.user.map_pages(range(start, end, PAGE_BYTES), flags):
            mappings.free(start, length_bytes)
            return Refusal(ErrorKind.OUT_OF_MEMORY, length_bytes)
        return start

    def munmap(self, address: int, length_bytes: int) -> bool:
        """Unmap pages that `mmap` mapped, all of the range or none (§15.5)."""
        address, length_bytes = address & U64_MASK, length_bytes & U64_MASK
        end = address + length_bytes
        # check
        whole = is_aligned(address, PAGE_BYTES) and is_aligned(length_bytes, PAGE_BYTES) and length_bytes > 0
        if not whole or not MMAP_START <= address < end <= MMAP_END:
            return False
        user = self.user
        pages = range(address, end, PAGE_BYTES)
        if any(self.paging.find(user.directory, page) is None for page in pages):
            return False
        # commit
        for page in pages:
            user.unmap_page(page)
        self.mappings.free(address, length_bytes)
        return True

    @property
    def _mappings_journal(self) -> Journal:
        """Counts in the errors of `mmap_`."""
        return self.mappings.journal

    # §14.6 The end.

    def cleanup_all(self) -> None:
        """Give everything back: pages, tables, directory, the nodes of `mmap_` (§14.6)."""
        user = self.user
        pages, tables = _contents(self.paging, user.directory)
        for page in pages:
            user.unmap_page(page)
        for table in tables:
            self.frames.free(table)
        self.frames.free(user.directory)
        self.fields.set("page_directory_", 0)
        nodes = self.mappings.nodes
        for _ in range(MOST_REGIONS):
            node = VirtualAddress(self.fields.get("mmap_.free_mem_list_.first_"))
            if node == 0:
                break
            nodes.remove(nodes.read(node))


def _contents(paging: PageTables, directory: PhysicalAddress) -> tuple[list[int], list[PhysicalAddress]]:
    """The 4 KiB pages of the lower half in ascending order, and its tables, each after those below it.

    A table that is met again, or that is no RAM, is not entered (§14.6): damage does not make it endless.
    """
    physical = paging.memory.physical
    pages: list[int] = []
    tables: list[PhysicalAddress] = []
    met = {directory}

    def entries(table: PhysicalAddress, level: Level, first: int) -> Iterator[tuple[int, int]]:
        """Address and value of the present entries of a table."""
        data = physical.read_table(table)
        for at in range(0, len(data or b""), ENTRY_BYTES):
            virtual = first + at // ENTRY_BYTES * level.span_bytes
            entry = int.from_bytes((data or b"")[at : at + ENTRY_BYTES], "little")
            if entry & PRESENT and virtual < _LOWER_HALF_BYTES:
                yield virtual, entry

    def descend(table: PhysicalAddress, level: Level, first: int) -> None:
        """Collect what lies below one table."""
        for virtual, entry in entries(table, level, first):
            below = PhysicalAddress(entry & ADDRESS_BITS)
            if level == Level.PTE:
                pages.append(virtual)
            elif not is_leaf(entry, level) and below not in met and physical.contains(below):
                met.add(below)
                descend(below, Level(level - 1), virtual)
                tables.append(below)

    descend(directory, Level.PML4E, 0)
    return pages, tables
