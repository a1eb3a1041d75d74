"""The pages of a process, mapped with a frame each (docs/spec.md §14.3)."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from model.fast.frames import FastFrames
from model.fast.tables import FastTables
from model.page_tables import PageFlags, leaf_entry
from model.types import PhysicalAddress

USER_CODE: Final = leaf_entry(PhysicalAddress(0), PageFlags.USER | PageFlags.EXECUTE)
USER_DATA: Final = leaf_entry(PhysicalAddress(0), PageFlags.USER | PageFlags.WRITE)
USER_CONSTANT: Final = leaf_entry(PhysicalAddress(0), PageFlags.USER)


@dataclass(slots=True)
class UserPages:
    """The lower half of one directory."""

    frames: FastFrames
    tables: FastTables
    directory: int

    def map(self, pages: Iterable[int], flags: int) -> bool:
        """Give every page a frame, in this order; what fails is undone in reverse."""
        mapped: list[int] = []
        for page in pages:
            frame = self.frames.alloc()
            if frame and self.tables.map(self.directory, page, frame, flags):
                mapped.append(page)
                continue
            if frame:
                self.frames.release(frame)
            for undone in reversed(mapped):
                self.unmap(undone)
            return False
        return True

    def unmap(self, page: int) -> None:
        """Unmap a page and free its frame."""
        frame = self.tables.unmap(self.directory, page)
        if frame:
            self.frames.release(frame)

    def is_mapped(self, page: int) -> bool:
        """Whether the page has a leaf."""
        return self.tables.leaf(self.directory, page) is not None

    def contents(self) -> tuple[list[int], list[int]]:
        """The pages of the lower half in ascending order, and its tables, each after those below it."""
        pages: list[int] = []
        tables: list[int] = []
        self._descend(self.directory, 39, 0, pages, tables)
        return pages, tables

    def _descend(self, table: int, shift: int, first: int, pages: list[int], below: list[int]) -> None:
        for index, entry in sorted(self.tables.tables[table].items()):
            virtual = first + (index << shift)
            if virtual >> 47:
                return
            if shift == 12:
                pages.append(virtual)
                continue
            under = self.tables.address(entry)
            self._descend(under, shift - 9, virtual, pages, below)
            below.append(under)
