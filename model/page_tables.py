"""Building page tables: the namespace `paging` of the kernel (docs/spec.md §5).

Tables are frames; a directory is named by the physical address of its PML4. The kernel writes tables
through windows whose entries are 0 again when no operation is under way (§5.1), so the model writes
the tables themselves and leaves the window table alone.
"""

from dataclasses import dataclass
from enum import IntFlag
from typing import Final

from model.address_space import (
    DEVICE_BASE,
    DEVICE_END,
    IMAGE_END,
    STACK_END,
    STACK_START,
    WINDOW_BASE,
    ImageSymbols,
    linear_physical,
)
from model.errors import ErrorKind, Refusal
from model.events import Journal, Listener, Part, discard
from model.frames import FrameAllocator
from model.memory import PhysicalMemory, VirtualMemory
from model.page_entry import (
    ADDRESS_BITS,
    CACHE_DISABLE,
    ENTRY_BYTES,
    NO_EXECUTE,
    PAGE_SIZE,
    PRESENT,
    USER,
    WRITABLE,
    WRITE_THROUGH,
    Level,
    is_leaf,
    table_index,
)
from model.paging import PageFault, Translation, canonical, walk
from model.types import (
    LARGE_PAGE_BYTES,
    PAGE_BYTES,
    U64_MASK,
    PhysicalAddress,
    VirtualAddress,
    align_down,
    align_up,
    is_aligned,
)

_LEVELS: Final = 4  # §5.1
PHYSICAL_LIMIT: Final = 1 << 52  # SDM vol. 3A §4.1.4: no processor has more address bits
_KERNEL_SLOT: Final = 511  # §2: the only PML4 slot of the kernel half


class PageFlags(IntFlag):
    """What a mapping may be told, a closed set (§5.2); reading is always allowed."""

    NONE = 0
    WRITE = 1
    USER = 2
    EXECUTE = 4
    DEVICE = 8


def leaf_entry(page: PhysicalAddress, flags: PageFlags) -> int:
    """The entry that maps a 4 KiB page (§5.2)."""
    return (
        page
        | PRESENT
        | (WRITABLE if flags & PageFlags.WRITE else 0)
        | (USER if flags & PageFlags.USER else 0)
        | (CACHE_DISABLE | WRITE_THROUGH if flags & PageFlags.DEVICE else 0)
        | (0 if flags & PageFlags.EXECUTE else NO_EXECUTE)
    )


def table_entry(table: PhysicalAddress, virtual: VirtualAddress) -> int:
    """The entry that refers to a table which translates `virtual` (§5.2)."""
    lower_half = virtual >> 63 == 0
    return table | PRESENT | WRITABLE | (USER if lower_half else 0)


@dataclass(slots=True)
class PageTables:
    """The paging functions; `next_device` is where the next `mapio` begins (§5.7)."""

    memory: VirtualMemory
    frames: FrameAllocator
    image: ImageSymbols
    journal: Journal
    next_device: VirtualAddress = DEVICE_BASE

    @staticmethod
    def of(
        memory: VirtualMemory, frames: FrameAllocator, image: ImageSymbols, listener: Listener = discard
    ) -> "PageTables":
        """The paging functions of a kernel image, with their counters in `paging::errors_` (§8.1)."""
        journal = Journal(Part.PAGING, memory, image.paging_errors, listener)
        return PageTables(memory, frames, image, journal)

    @property
    def kernel_directory(self) -> PhysicalAddress:
        """`paging::kernel_directory_`; 0 before it is built."""
        return PhysicalAddress(self.memory.read_u64(self.image.kernel_directory))

    def map(self, directory: int, virtual: int, physical: int, flags: PageFlags) -> bool:
        """Map one page (§5.3)."""
        directory, virtual, physical = directory & U64_MASK, virtual & U64_MASK, physical & U64_MASK
        outcome = self._map(PhysicalAddress(directory), virtual, physical, flags)
        return bool(self.journal.conclude("map", (directory, virtual, physical, int(flags)), outcome))

    def unmap(self, directory: int, virtual: int) -> PhysicalAddress:
        """Undo `map`: the physical address that was mapped, or 0 (§5.4)."""
        directory, virtual = directory & U64_MASK, virtual & U64_MASK
        outcome = self._unmap(PhysicalAddress(directory), virtual)
        return PhysicalAddress(self.journal.conclude("unmap", (directory, virtual), outcome))

    def create_page_directory(self) -> PhysicalAddress:
        """An empty directory, or 0 (§5.5)."""
        return PhysicalAddress(self.journal.conclude("create_page_directory", (), self._new_table()))

    def create_user_page_directory(self) -> PhysicalAddress:
        """A directory with the kernel half of the kernel directory, or 0 (§5.5)."""
        directory = self._new_table()
        if not isinstance(directory, Refusal):
            slot = ENTRY_BYTES * _KERNEL_SLOT
            kernel_half = self._physical.read_u64(PhysicalAddress(self.kernel_directory + slot))
            self._physical.write_u64(PhysicalAddress(directory + slot), kernel_half)
        return PhysicalAddress(self.journal.conclude("create_user_page_directory", (), directory))

    def mapio(self, physical: int, size_bytes: int) -> VirtualAddress:
        """Map a device's registers; the virtual address of the first byte, or 0 (§5.7)."""
        physical, size_bytes = physical & U64_MASK, size_bytes & U64_MASK
        outcome = self._mapio(physical, size_bytes)
        return VirtualAddress(self.journal.conclude("mapio", (physical, size_bytes), outcome))

    def find(self, directory: int, virtual: int) -> Translation | None:
        """What a directory maps at an address; None when that is nothing."""
        root, address = PhysicalAddress(directory), VirtualAddress(virtual)
        found = walk(self._physical.read_entry, root, address, self.memory.mode)
        return None if isinstance(found, PageFault) else found

    def build_kernel_directory(self, placement_end: PhysicalAddress) -> PhysicalAddress | Refusal:
        """Build and load the kernel directory (§5.6); its address, or why there was no frame."""
        directory = self._new_table()
        if isinstance(directory, Refusal):
            return directory
        image = self.image
        for start, end, flags in (
            (image.text_start, image.text_end, PageFlags.EXECUTE),
            (image.rodata_start, image.rodata_end, PageFlags.NONE),
            (image.data_start, image.bss_end, PageFlags.WRITE),
            (STACK_START, STACK_END, PageFlags.WRITE),
        ):
            for page in range(start, end, PAGE_BYTES):
                outcome = self._map(directory, page, linear_physical(page), flags)
                if isinstance(outcome, Refusal):
                    return outcome
        refusal = self._map_placement(directory, placement_end) or self._hook_window(directory)
        if refusal:
            return refusal
        self.memory.write_u64(image.kernel_directory, directory)
        self.memory.load_cr3(directory)
        return directory

    def _map_placement(self, directory: PhysicalAddress, end: PhysicalAddress) -> Refusal | None:
        """The placement area, in 2 MiB pages where they fit (§5.6)."""
        physical = linear_physical(IMAGE_END)
        while physical < end:
            # KERNEL_BASE is a multiple of 2 MiB: the virtual address is aligned when the physical one is.
            large = is_aligned(physical, LARGE_PAGE_BYTES) and physical + LARGE_PAGE_BYTES <= end
            level = Level.PDE if large else Level.PTE
            virtual = IMAGE_END + (physical - linear_physical(IMAGE_END))
            outcome = self._map(directory, virtual, physical, PageFlags.WRITE, level)
            if isinstance(outcome, Refusal):
                return outcome
            physical = PhysicalAddress(physical + level.span_bytes)
        return None

    def _hook_window(self, directory: PhysicalAddress) -> Refusal | None:
        """Let the PDE of `WINDOW_BASE` refer to the window table (§5.1, §5.6)."""
        entry = self._find_entry(directory, WINDOW_BASE, Level.PDE)
        if isinstance(entry, Refusal):
            return entry
        window_table = linear_physical(self.image.window_table)
        self._physical.write_u64(entry, table_entry(window_table, WINDOW_BASE))
        return None

    def _map(
        self,
        directory: PhysicalAddress,
        virtual: int,
        physical: int,
        flags: PageFlags,
        level: Level = Level.PTE,
    ) -> int | Refusal:
        # check (§5.3); a physical address has at most 52 bits (SDM vol. 3A §4.1.4)
        aligned = is_aligned(virtual, PAGE_BYTES) and is_aligned(physical, PAGE_BYTES)
        if not aligned or not canonical(virtual, _LEVELS) or physical & ~ADDRESS_BITS:
            return Refusal(ErrorKind.INVALID_POINTER, virtual)
        if not self._is_directory(directory):
            return Refusal(ErrorKind.INVALID_POINTER, directory)
        # find
        entry_address = self._find_entry(directory, VirtualAddress(virtual), level)
        if isinstance(entry_address, Refusal):
            return entry_address
        if self._physical.read_u64(entry_address) & PRESENT:
            return Refusal(ErrorKind.INVALID_POINTER, virtual)
        # commit
        size_bit = PAGE_SIZE if level > Level.PTE else 0
        self._physical.write_u64(entry_address, leaf_entry(PhysicalAddress(physical), flags) | size_bit)
        return 1

    def _find_entry(
        self, directory: PhysicalAddress, virtual: VirtualAddress, target: Level
    ) -> PhysicalAddress | Refusal:
        """The entry of level `target` for `virtual`; missing tables above it are made (§5.3)."""
        table, level = directory, Level.PML4E
        while True:
            entry_address = PhysicalAddress(table + ENTRY_BYTES * table_index(virtual, level))
            if level == target:
                return entry_address
            entry = self._physical.read_u64(entry_address)
            if not entry & PRESENT:
                made = self._new_table()
                if isinstance(made, Refusal):
                    return made
                entry = table_entry(made, virtual)
                self._physical.write_u64(entry_address, entry)
            elif is_leaf(entry, level):
                return Refusal(ErrorKind.INVALID_POINTER, virtual)
            table, level = PhysicalAddress(entry & ADDRESS_BITS), Level(level - 1)

    def _unmap(self, directory: PhysicalAddress, virtual: int) -> int | Refusal:
        # check (§5.4)
        if not is_aligned(virtual, PAGE_BYTES) or not canonical(virtual, _LEVELS):
            return Refusal(ErrorKind.INVALID_POINTER, virtual)
        if not self._is_directory(directory):
            return Refusal(ErrorKind.INVALID_POINTER, directory)
        # find
        found = self.find(directory, virtual)
        if found is None or found.page_bytes != PAGE_BYTES:
            return Refusal(ErrorKind.INVALID_POINTER, virtual)
        # commit
        self._physical.write_u64(found.steps[-1].entry_address, 0)
        self.memory.invalidate(VirtualAddress(virtual))
        return found.physical

    def _new_table(self) -> PhysicalAddress | Refusal:
        """A zeroed frame (§5.1)."""
        frame = self.frames.alloc()
        if frame == 0:
            return Refusal(ErrorKind.OUT_OF_MEMORY, PAGE_BYTES)
        self._physical.fill(frame, PAGE_BYTES)
        return frame

    def _mapio(self, physical: int, size_bytes: int) -> int | Refusal:
        # check (§5.7)
        if size_bytes == 0 or physical + size_bytes > PHYSICAL_LIMIT:
            return Refusal(ErrorKind.INVALID_POINTER, physical)
        first = align_down(physical, PAGE_BYTES)
        pages_bytes = align_up(physical + size_bytes, PAGE_BYTES) - first
        start = self.next_device
        if start + pages_bytes > DEVICE_END:
            return Refusal(ErrorKind.VIRTUAL_SPACE_EXHAUSTED, physical)
        # commit; a page that cannot be mapped takes back those before it
        for offset in range(0, pages_bytes, PAGE_BYTES):
            flags = PageFlags.WRITE | PageFlags.DEVICE
            outcome = self._map(self.kernel_directory, start + offset, first + offset, flags)
            if isinstance(outcome, Refusal):
                for mapped in reversed(range(0, offset, PAGE_BYTES)):
                    self._unmap(self.kernel_directory, start + mapped)
                return outcome
        self.next_device = VirtualAddress(start + pages_bytes)
        return start + (physical - first)

    def _is_directory(self, directory: PhysicalAddress) -> bool:
        """Whether `directory` can be the address of a PML4 at all: a page of RAM, not page 0."""
        return directory != 0 and is_aligned(directory, PAGE_BYTES) and self._physical.contains(directory)

    @property
    def _physical(self) -> PhysicalMemory:
        return self.memory.physical
