"""The kernel heap: its pages, and what the kernel itself asks of it (docs/spec.md §7)."""

from dataclasses import dataclass

from model.errors import ErrorKind
from model.fast.blocks import FastBlocks
from model.fast.frames import FastFrames
from model.fast.regions import FastRegions
from model.fast.tables import WRITABLE_LEAF, FastTables
from model.trace import Operation
from model.types import PAGE_BYTES


@dataclass(slots=True, kw_only=True)
class FastHeap(FastBlocks):
    """The heap object's fields and its blocks."""

    frames: FastFrames
    tables: FastTables
    regions: FastRegions

    # Called by other operations: they leave records of their own.

    def nested_malloc(self, size_bytes: int) -> int:
        """`malloc` inside another operation."""
        pointer = self.malloc(size_bytes)
        return self.diary.note(Operation.HEAP_MALLOC, (size_bytes, 0, 0), pointer)

    def nested_free(self, pointer: int) -> None:
        """`free` inside another operation."""
        self.free(pointer)
        self.diary.note(Operation.HEAP_FREE, (pointer, 0, 0), 0)

    # §7.8

    def _more(self, size_bytes: int) -> int | ErrorKind:
        base = self.regions.alloc(size_bytes)
        if not base:
            return ErrorKind.VIRTUAL_SPACE_EXHAUSTED
        return base if self._map_region(base, size_bytes) else ErrorKind.OUT_OF_MEMORY

    def _map_region(self, base: int, size_bytes: int) -> bool:
        directory = self.tables.kernel_directory
        frames: list[int] = []
        for page in range(base, base + size_bytes, PAGE_BYTES):
            frame = self.frames.alloc()
            if frame and self.tables.map(directory, page, frame, WRITABLE_LEAF):
                frames.append(frame)
                continue
            if frame:
                self.frames.release(frame)
            for index in reversed(range(len(frames))):
                self.tables.unmap(directory, base + index * PAGE_BYTES)
                self.frames.release(frames[index])
            self.regions.release(base, size_bytes)
            return False
        return True

    def _can_be_block(self, pointer: int, block: int) -> bool:
        inside = FastBlocks._can_be_block(self, pointer, block)
        return inside and not self.regions.is_free(block, block + _HEADER_BYTES)


_HEADER_BYTES = 48
