"""The pages of a process, from outside: mapped, unmapped, read and written (docs/spec.md §5.1, §14.3).

The kernel reaches user memory through windows onto single frames, never through user addresses: every page
is looked up in the tables of the process. What is not mapped there can neither be read nor written.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from model.errors import ErrorKind, Refusal
from model.frames import FrameAllocator
from model.page_tables import PageFlags, PageTables
from model.types import PAGE_BYTES, U64_MASK, PhysicalAddress, align_down


@dataclass(frozen=True, slots=True)
class UserMemory:
    """The lower half of one directory."""

    directory: PhysicalAddress
    paging: PageTables
    frames: FrameAllocator

    # Whole pages.

    def map_page(self, page: int, flags: PageFlags) -> Refusal | None:
        """Give `page` a zeroed frame (§14.3)."""
        frame = self.frames.alloc()
        if frame == 0:
            return Refusal(ErrorKind.OUT_OF_MEMORY, PAGE_BYTES)
        self.paging.memory.physical.fill(frame, PAGE_BYTES)
        if self.paging.map(self.directory, page, frame, flags | PageFlags.USER):
            return None
        self.frames.free(frame)
        return Refusal(ErrorKind.OUT_OF_MEMORY, PAGE_BYTES)

    def map_pages(self, pages: Iterable[int], flags: PageFlags) -> bool:
        """Give every page a zeroed frame, in this order; what fails is undone in reverse (§14.3)."""
        mapped: list[int] = []
        for page in pages:
            if self.map_page(page, flags) is not None:
                for undone in reversed(mapped):
                    self.unmap_page(undone)
                return False
            mapped.append(page)
        return True

    def unmap_page(self, page: int) -> None:
        """Unmap a page and free its frame."""
        frame = self.paging.unmap(self.directory, page)
        if frame:
            self.frames.free(frame)

    def is_accessible(self, address: int, *, write: bool) -> bool:
        """Whether ring 3 may read, or write, at an address (SDM vol. 3A §4.6.1)."""
        found = self.paging.find(self.directory, address)
        return found is not None and found.rights.user and (found.rights.writable or not write)

    # Bytes.

    def holds(self, address: int, size_bytes: int) -> bool:
        """Whether all of [address, address + size_bytes) can be reached."""
        return all(physical is not None for physical, _ in self._pieces(address, size_bytes))

    def read(self, address: int, size_bytes: int) -> bytes | None:
        """The bytes at [address, address + size_bytes); None when a page of them is not mapped."""
        parts = []
        for physical, size in self._pieces(address, size_bytes):
            if physical is None:
                return None
            parts.append(self.paging.memory.physical.read(physical, size))
        return b"".join(parts)

    def write(self, address: int, data: bytes | bytearray | memoryview) -> bool:
        """Put `data` at an address, whatever ring 3 may do there; False at a page that is not mapped."""
        done = 0
        for physical, size in self._pieces(address, len(data)):
            if physical is None:
                return False
            self.paging.memory.physical.write(physical, data[done : done + size])
            done += size
        return True

    def fill(self, address: int, size_bytes: int) -> bool:
        """Zero [address, address + size_bytes), as far as it is mapped; whether it is to its end."""
        for physical, size in self._pieces(address, size_bytes):
            if physical is None:
                return False
            self.paging.memory.physical.fill(physical, size)
        return True

    def copy(self, target: int, source: int, size_bytes: int) -> bool:
        """Copy bytes, page by page of the source in ascending order, as far as both are mapped."""
        done = 0
        while done < size_bytes:
            size = min(size_bytes - done, PAGE_BYTES - (source + done) % PAGE_BYTES)
            data = self.read(source + done, size)
            if data is None or not self.write(target + done, data):
                return False
            done += size
        return True

    def _pieces(self, address: int, size_bytes: int) -> Iterator[tuple[PhysicalAddress | None, int]]:
        """Where each page's part of [address, address + size_bytes) lies, and its size."""
        end = address + size_bytes
        while address < end:
            size = min(end, align_down(address, PAGE_BYTES) + PAGE_BYTES) - address
            found = self.paging.find(self.directory, address & U64_MASK)
            reachable = found is not None and self.paging.memory.physical.contains(found.physical)
            yield (found.physical if found is not None and reachable else None), size
            address += size
