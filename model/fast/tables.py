"""Page tables: every table a dictionary of its present entries (docs/spec.md §5).

No record tells the flags of a leaf (§12.3 lists no such argument): where nothing else does, it is kept as
`UNKNOWN_FLAGS | frame`.
"""

from dataclasses import dataclass
from typing import Final

from model.errors import ErrorKind
from model.fast.diary import Diary
from model.fast.frames import FastFrames
from model.memory import PhysicalRange
from model.page_entry import PRESENT, WRITABLE
from model.page_tables import PageFlags, PageTables, leaf_entry
from model.trace import Operation
from model.types import PAGE_BYTES, PhysicalAddress, VirtualAddress

UNKNOWN_FLAGS: Final = 1 << 64
WRITABLE_LEAF: Final = leaf_entry(PhysicalAddress(0), PageFlags.WRITE)
_ADDRESS: Final = 0x000F_FFFF_FFFF_F000
_OFFSET: Final = PAGE_BYTES - 1
_LARGE: Final = 1 << 7
_USER: Final = 1 << 2
_KERNEL_SLOT: Final = 511


@dataclass(slots=True)
class FastTables:
    """`tables`: physical address of a table → index → entry; only present entries are there."""

    diary: Diary
    frames: FastFrames
    ram: tuple[PhysicalRange, ...]
    kernel_directory: int
    tables: dict[int, dict[int, int]]
    errors: list[int]
    inferred: set[int]
    """Directories that no operation of the trace made: their kernel half is a guess."""
    of_boot: frozenset[int]
    """The tables that the boot made; they are never freed (§5.6)."""

    @staticmethod
    def of(paging: PageTables, frames: FastFrames, diary: Diary) -> "FastTables":
        """The tables of the kernel directory."""
        physical, tables = paging.memory.physical, {}
        pending = [(int(paging.kernel_directory), 4)]
        while pending:
            table, level = pending.pop()
            words = memoryview(physical.read(PhysicalAddress(table), PAGE_BYTES)).cast("Q")
            tables[table] = {index: word for index, word in enumerate(words) if word & PRESENT}
            if level > 1:
                pending += [
                    (word & _ADDRESS, level - 1) for word in tables[table].values() if not word & _LARGE
                ]
        counters = paging.image.paging_errors
        errors = [paging.memory.read_u64(VirtualAddress(counters + 8 * kind)) for kind in ErrorKind]
        return FastTables(
            diary,
            frames,
            physical.ram,
            int(paging.kernel_directory),
            tables,
            errors,
            set(),
            frozenset(tables),
        )

    def map(self, directory: int, virtual: int, physical: int, flags: int = UNKNOWN_FLAGS) -> bool:
        """Map one page (§5.3); `flags` are the leaf's bits beside the address."""
        self.diary.depth += 1
        done = self._map(directory, virtual, physical, flags)
        self.diary.depth -= 1
        self.diary.note(Operation.PAGING_MAP, (directory, virtual, physical), int(done))
        return done

    def unmap(self, directory: int, virtual: int) -> int:
        """Undo `map` (§5.4): the physical address, or 0."""
        found = 0
        if virtual & _OFFSET or not _canonical(virtual) or not self._is_directory(directory):
            self.errors[ErrorKind.INVALID_POINTER] += 1
        else:
            table = self._leaf_table(directory, virtual)
            entry = table.pop(virtual >> 12 & 511, None) if table is not None else None
            if entry is None:
                self.errors[ErrorKind.INVALID_POINTER] += 1
            else:
                found = entry & _ADDRESS
        return self.diary.note(Operation.PAGING_UNMAP, (directory, virtual, 0), found)

    def leaf(self, directory: int, virtual: int) -> int | None:
        """The 4 KiB leaf of a page; None when there is none."""
        table = self._leaf_table(directory, virtual)
        return table.get(virtual >> 12 & 511) if table is not None else None

    def set_flags(self, directory: int, virtual: int, flags: int) -> None:
        """Say what flags a mapped page must have."""
        table = self._leaf_table(directory, virtual)
        if table is not None and virtual >> 12 & 511 in table:
            table[virtual >> 12 & 511] = table[virtual >> 12 & 511] & _ADDRESS | flags

    def make_user_directory(self, frame: int) -> None:
        """A frame becomes a process's directory (§5.5)."""
        self.tables[frame] = {_KERNEL_SLOT: self.tables[self.kernel_directory][_KERNEL_SLOT]}

    def address(self, entry: int) -> int:
        """The physical address in an entry."""
        return entry & _ADDRESS

    def forget(self, frame: int) -> None:
        """A frame is free again: what it held is a table no longer."""
        self.tables.pop(frame, None)
        self.inferred.discard(frame)

    def _map(self, directory: int, virtual: int, physical: int, flags: int) -> bool:
        # check
        aligned = not (virtual | physical) & _OFFSET
        if (
            not aligned
            or not _canonical(virtual)
            or physical & ~_ADDRESS
            or not self._is_directory(directory)
        ):
            self.errors[ErrorKind.INVALID_POINTER] += 1
            return False
        # find
        table = self._root(directory)
        for shift in (39, 30, 21):
            index = virtual >> shift & 511
            entry = table.get(index)
            if entry is None:
                frame = self.frames.alloc()
                if not frame:
                    self.errors[ErrorKind.OUT_OF_MEMORY] += 1
                    return False
                entry = frame | PRESENT | WRITABLE | (0 if virtual >> 63 else _USER)
                table[index] = entry
                self.tables[frame] = {}
            elif shift < 39 and entry & _LARGE:
                self.errors[ErrorKind.INVALID_POINTER] += 1
                return False
            table = self._table(entry & _ADDRESS)
        # commit
        if virtual >> 12 & 511 in table:
            self.errors[ErrorKind.INVALID_POINTER] += 1
            return False
        table[virtual >> 12 & 511] = physical | flags
        return True

    def _leaf_table(self, directory: int, virtual: int) -> dict[int, int] | None:
        table = self._root(directory)
        for shift in (39, 30, 21):
            entry = table.get(virtual >> shift & 511)
            if entry is None or (shift < 39 and entry & _LARGE):
                return None
            table = self._table(entry & _ADDRESS)
        return table

    def _root(self, directory: int) -> dict[int, int]:
        """A directory's entries; one not met before was made by an operation that leaves no record (§5.5)."""
        if directory not in self.tables:
            kernel_half = self.tables[self.kernel_directory][_KERNEL_SLOT]
            self.tables[directory] = {_KERNEL_SLOT: kernel_half}
            self.inferred.add(directory)
        return self.tables[directory]

    def _table(self, frame: int) -> dict[int, int]:
        return self.tables.setdefault(frame, {})

    def _is_directory(self, directory: int) -> bool:
        """A page of RAM, not page 0 (§5.3)."""
        if directory == 0 or directory & _OFFSET:
            return False
        return any(piece.start <= directory < piece.end for piece in self.ram)


def _canonical(virtual: int) -> bool:
    return virtual >> 47 in (0, 0x1FFFF)
