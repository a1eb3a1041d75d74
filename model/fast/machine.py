"""The fast twin of the kernel's memory managers, from the state that a boot leaves (docs/spec.md §9)."""

from collections.abc import Callable
from copy import copy
from dataclasses import dataclass, field, replace

from model.address_space import MMAP_END, MMAP_START
from model.errors import ErrorKind
from model.fast.diary import Diary, Entry
from model.fast.frames import FastFrames
from model.fast.heap import FastHeap, HeapHabits
from model.fast.regions import FastRegions
from model.fast.tables import UNKNOWN_FLAGS, WRITABLE_LEAF, FastTables
from model.layouts import PROCESS
from model.machine import Machine
from model.region_nodes import NODES_PER_PAGE
from model.trace import Operation


@dataclass(slots=True)
class FastMachine:
    """Frames, page tables, virtual regions and heap; operations come by number, as in a trace."""

    diary: Diary
    frames: FastFrames
    tables: FastTables
    regions: FastRegions
    heap: FastHeap
    mmaps: dict[int, FastRegions] = field(default_factory=dict)
    """The region managers of live processes by address: their free lists; their nodes are heap blocks."""
    unsound: str = ""
    """Which operation broke a rule that no allocator can check, so that later results prove nothing."""

    @staticmethod
    def of(machine: Machine, habits: HeapHabits | None = None) -> "FastMachine":
        """The twin of a machine that has just booted: its heap must be empty."""
        diary = Diary()
        frames = FastFrames.of(machine.frames, diary)
        tables = FastTables.of(machine.paging, frames, diary)
        regions = FastRegions.of(machine.regions, frames, tables, diary)
        return FastMachine(
            diary, frames, tables, regions, FastHeap(diary, frames, tables, regions, habits or HeapHabits())
        )

    def fresh(self, habits: HeapHabits | None = None) -> "FastMachine":
        """A copy of a machine on which nothing has run yet."""
        diary = Diary()
        frames = replace(
            self.frames,
            diary=diary,
            free=copy(self.frames.free),
            is_free=copy(self.frames.is_free),
            errors=copy(self.frames.errors),
        )
        contents = {table: copy(entries) for table, entries in self.tables.tables.items()}
        tables = replace(
            self.tables,
            diary=diary,
            frames=frames,
            tables=contents,
            errors=copy(self.tables.errors),
            inferred=set(),
        )
        regions = replace(
            self.regions,
            diary=diary,
            frames=frames,
            tables=tables,
            free=copy(self.regions.free),
            spare=copy(self.regions.spare),
            errors=copy(self.regions.errors),
        )
        heap = FastHeap(diary, frames, tables, regions, habits or self.heap.habits)
        return FastMachine(diary, frames, tables, regions, heap)

    def perform(self, operation: int, first: int, second: int, third: int) -> int:
        """Do one operation of the kernel side; its result as a record has it. `KeyError` for any other."""
        return _PERFORM[operation](self, first, second, third)

    def nested(self) -> list[Entry]:
        """What the operations since the last call did on their way, the operations themselves left out."""
        return self.diary.take() if self.diary.entries else []

    def process_made(self, process: int) -> None:
        """A process begins with all of its mmap space free (§15.6)."""
        manager = process + _MMAP_OFFSET
        start, end = MMAP_START, MMAP_END
        self.mmaps[manager] = FastRegions(
            Diary(),
            self.frames,
            self.tables,
            manager,
            start,
            end,
            [(start, end - start, 0)],
            [],
            [0] * len(ErrorKind),
        )

    def perform_mmap(self, operation: int, first: int, second: int, third: int) -> int:
        """Do an operation of a process's region manager, whose nodes are others' affair."""
        manager = self.mmaps[second if operation == Operation.VIRT_ALLOC else third]
        manager.spare = [0] * NODES_PER_PAGE  # never short of nodes: it grows by none
        if operation == Operation.VIRT_ALLOC:
            return manager.alloc(first)
        if operation == Operation.VIRT_ALLOC_AT:
            return manager.alloc_at(first, second)
        manager.release(first, second)
        return 0

    def _physical_alloc(self, *_: int) -> int:
        return self._own(self.frames.alloc())

    def _physical_free(self, frame: int, *_: int) -> int:
        if self.frames.release(frame):
            if frame in self.tables.of_boot:
                self.unsound = self.unsound or f"physical::free({frame:#x}) gave a table of the kernel away"
            else:
                self.tables.forget(frame)
        return self._own(0)

    def _virt_alloc(self, size: int, *_: int) -> int:
        return self._own(self.regions.alloc(size))

    def _virt_alloc_at(self, address: int, size: int, _: int) -> int:
        return self._own(self.regions.alloc_at(address, size))

    def _virt_free(self, address: int, size: int, _: int) -> int:
        heap = self.heap
        released = self.regions.release(address, size)
        if released and any(address <= block < address + size for block in heap.sizes):
            self.unsound = self.unsound or f"virt::free({address:#x}, {size}) gave addresses of the heap away"
        return self._own(0)

    def _paging_map(self, directory: int, virtual: int, physical: int) -> int:
        # §2: a page of the kernel's regions is writable and no more; of others no record tells the flags.
        kernels = self.regions.start <= virtual < self.regions.end
        flags = WRITABLE_LEAF if kernels else UNKNOWN_FLAGS
        return self._own(int(self.tables.map(directory, virtual, physical, flags)))

    def _paging_unmap(self, directory: int, virtual: int, _: int) -> int:
        return self._own(self.tables.unmap(directory, virtual))

    def _own(self, result: int) -> int:
        """Take the operation's own entry out of the diary."""
        self.diary.entries.pop()
        return result


_MMAP_OFFSET = PROCESS.member("memory.mmap_.free_mem_list_.first_").offset_bytes
_Perform = Callable[[FastMachine, int, int, int], int]


def _heap_free(machine: FastMachine, pointer: int, *_: int) -> int:
    machine.heap.free(pointer)
    return 0


_PERFORM: dict[int, _Perform] = {
    Operation.PHYSICAL_ALLOC: FastMachine._physical_alloc,
    Operation.PHYSICAL_FREE: FastMachine._physical_free,
    Operation.VIRT_ALLOC: FastMachine._virt_alloc,
    Operation.VIRT_ALLOC_AT: FastMachine._virt_alloc_at,
    Operation.VIRT_FREE: FastMachine._virt_free,
    Operation.PAGING_MAP: FastMachine._paging_map,
    Operation.PAGING_UNMAP: FastMachine._paging_unmap,
    Operation.HEAP_MALLOC: lambda machine, size, *_: machine.heap.malloc(size),
    Operation.HEAP_FREE: _heap_free,
    Operation.HEAP_REALLOC: lambda machine, pointer, size, _: machine.heap.realloc(pointer, size),
    Operation.HEAP_CALLOC: lambda machine, count, size, _: machine.heap.calloc(count, size),
    Operation.HEAP_ALIGNED_ALLOC: lambda machine, align, size, _: machine.heap.aligned_alloc(align, size),
    Operation.PLACEMENT_KALLOC: lambda *_: 0,  # §3.4: sealed when recording begins
}

PERFORMED = frozenset(_PERFORM)
"""The operations that the twin knows."""
