"""The kernel's manager of virtual regions: its free list and its pool as Python lists (docs/spec.md §6)."""

from dataclasses import dataclass
from typing import Final

from model.errors import ErrorKind
from model.fast.diary import Diary
from model.fast.frames import FastFrames
from model.fast.tables import WRITABLE_LEAF, FastTables
from model.region_nodes import NODES_PER_PAGE
from model.regions import SPARES_WANTED, RegionAllocator
from model.trace import Operation
from model.types import PAGE_BYTES, VirtualAddress

_OFFSET: Final = PAGE_BYTES - 1
_NODE_BYTES: Final = PAGE_BYTES // NODES_PER_PAGE


@dataclass(slots=True)
class FastRegions:
    """`free`: (start, size, node), ascending; `spare[-1]` is the head of the pool."""

    diary: Diary
    frames: FastFrames
    tables: FastTables
    address: int
    start: int
    end: int
    free: list[tuple[int, int, int]]
    spare: list[int]
    errors: list[int]

    @staticmethod
    def of(regions: RegionAllocator, frames: FastFrames, tables: FastTables, diary: Diary) -> "FastRegions":
        """The state of the model's manager, which must be sound."""
        fields, spare, node = regions.fields, [], VirtualAddress(regions.fields.get("spare_"))
        while node:
            spare.append(int(node))
            node = regions.nodes.read(node).next
        free = [
            (int(region.start), region.size_bytes, int(region.node)) for region in regions.nodes.regions()
        ]
        errors = [fields.get("errors_", kind) for kind in ErrorKind]
        return FastRegions(
            diary,
            frames,
            tables,
            int(fields.address),
            fields.get("start_"),
            fields.get("end_"),
            free,
            spare[::-1],
            errors,
        )

    def alloc(self, size_bytes: int) -> int:
        """The first region that is large enough (§6.4)."""
        self._grow_pool()
        start = self._alloc(size_bytes)
        if start is None:
            self.errors[ErrorKind.VIRTUAL_SPACE_EXHAUSTED] += 1
            start = 0
        return self.diary.note(Operation.VIRT_ALLOC, (size_bytes, self.address, 0), start)

    def alloc_at(self, address: int, size_bytes: int) -> int:
        """A given range (§6.5)."""
        self._grow_pool()
        refusal = self._alloc_at(address, size_bytes)
        if refusal is not None:
            self.errors[refusal] += 1
        result = address if refusal is None else 0
        return self.diary.note(Operation.VIRT_ALLOC_AT, (address, size_bytes, self.address), result)

    def release(self, address: int, size_bytes: int) -> bool:
        """Give a range back (§6.6), the operation `free`; whether it was taken."""
        self._grow_pool()
        refusal = self._free(address, size_bytes)
        if refusal is not None:
            self.errors[refusal] += 1
        self.diary.note(Operation.VIRT_FREE, (address, size_bytes, self.address), 0)
        return refusal is None

    def is_free(self, start: int, end: int) -> bool:
        """Whether any address of [start, end) is in a free region."""
        return any(at < end and start < at + size for at, size, _ in self.free)

    def _alloc(self, size_bytes: int) -> int | None:
        if size_bytes == 0:
            return 0
        needed = (size_bytes + _OFFSET) & ~_OFFSET
        for index, (start, size, node) in enumerate(self.free):
            if size >= needed:
                self._keep_above(index, start + needed, start + size, node)
                return start
        return None

    def _alloc_at(self, address: int, size_bytes: int) -> ErrorKind | None:
        # check
        if size_bytes == 0 or address & _OFFSET:
            return ErrorKind.INVALID_POINTER
        end = address + ((size_bytes + _OFFSET) & ~_OFFSET)
        # find
        index = next(
            (i for i, (at, size, _) in enumerate(self.free) if at <= address and end <= at + size), -1
        )
        if index < 0:
            return ErrorKind.VIRTUAL_SPACE_EXHAUSTED
        start, size, node = self.free[index]
        # split, commit
        if address == start:
            self._keep_above(index, end, start + size, node)
            return None
        if end < start + size:
            upper = self._take_node()
            if not upper:
                return ErrorKind.OUT_OF_MEMORY
            self.free.insert(index + 1, (end, start + size - end, upper))
        self.free[index] = start, address - start, node
        return None

    def _free(self, address: int, size_bytes: int) -> ErrorKind | None:
        # check
        end = address + ((size_bytes + _OFFSET) & ~_OFFSET)
        if size_bytes == 0 or address & _OFFSET or address < self.start or end > self.end:
            return ErrorKind.INVALID_POINTER
        # find: the first region above
        index = len(self.free)
        for at, (start, size, _) in enumerate(self.free):
            if start >= end:
                index = at
                break
            if start + size > address:
                return ErrorKind.DOUBLE_FREE
        below = self.free[index - 1] if index else None
        above = self.free[index] if index < len(self.free) else None
        joins_above = above is not None and above[0] == end
        # commit
        if below is not None and below[0] + below[1] == address:
            grown_end = end
            if above is not None and joins_above:
                grown_end = above[0] + above[1]
                self._put_node(self.free.pop(index)[2])
            self.free[index - 1] = below[0], grown_end - below[0], below[2]
        elif above is not None and joins_above:
            self.free[index] = address, above[0] + above[1] - address, above[2]
        else:
            fresh = self._take_node()
            if not fresh:
                return ErrorKind.OUT_OF_MEMORY
            self.free.insert(index, (address, end - address, fresh))
        return None

    def _keep_above(self, index: int, start: int, end: int, node: int) -> None:
        if start == end:
            del self.free[index]
            self._put_node(node)
        else:
            self.free[index] = start, end - start, node

    def _take_node(self) -> int:
        """A node; 0 when there is none (§6.2)."""
        return self.spare.pop() if self.spare else 0

    def _put_node(self, node: int) -> None:
        """A node is used no longer."""
        self.spare.append(node)

    def _grow_pool(self) -> None:
        """§6.3; a failure is undone and counts no error of ours."""
        if len(self.spare) >= SPARES_WANTED:
            return
        page = self._alloc(PAGE_BYTES)
        if page is None:
            return
        self.diary.depth += 1
        frame = self.frames.alloc()
        mapped = frame and self.tables.map(self.tables.kernel_directory, page, frame, WRITABLE_LEAF)
        if frame and not mapped:
            self.frames.release(frame)
        self.diary.depth -= 1
        if mapped:
            self.spare += range(page + PAGE_BYTES - _NODE_BYTES, page - 1, -_NODE_BYTES)
        else:
            self._free(page, PAGE_BYTES)
