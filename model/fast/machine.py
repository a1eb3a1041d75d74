"""The fast twin of the kernel's memory managers, from the state that a boot leaves (docs/spec.md §9)."""

from collections.abc import Callable
from copy import copy
from dataclasses import dataclass, replace

from model.fast.blocks import HeapHabits
from model.fast.diary import Diary, Entry
from model.fast.frames import FastFrames
from model.fast.heap import FastHeap
from model.fast.processes import FastProcesses
from model.fast.regions import FastRegions
from model.fast.tables import WRITABLE_LEAF, FastTables
from model.machine import Machine
from model.trace import Operation


@dataclass(slots=True)
class FastMachine:
    """Frames, page tables, virtual regions and heap; operations come by number, as in a trace."""

    diary: Diary
    frames: FastFrames
    tables: FastTables
    regions: FastRegions
    heap: FastHeap
    processes: FastProcesses
    unsound: str = ""
    """Which operation broke a rule that no allocator can check, so that later results prove nothing."""

    @staticmethod
    def of(machine: Machine, habits: HeapHabits | None = None) -> "FastMachine":
        """The twin of a machine that has just booted: its heap must be empty."""
        diary = Diary()
        frames = FastFrames.of(machine.frames, diary)
        tables = FastTables.of(machine.paging, frames, diary)
        regions = FastRegions.of(machine.regions, frames, tables, diary)
        head = int(machine.image.process_list)
        return _wired(diary, frames, tables, regions, habits or HeapHabits(), head)

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
        return _wired(diary, frames, tables, regions, habits or self.heap.habits, self.processes.head)

    def perform(self, operation: int, first: int, second: int, third: int) -> int:
        """Do one operation of the kernel side; its result as a record has it. `KeyError` for any other."""
        return _PERFORM[operation](self, first, second, third)

    def nested(self) -> list[Entry]:
        """What the operations since the last call did on their way, the operations themselves left out."""
        return self.diary.take() if self.diary.entries else []

    def _physical_alloc(self, *_: int) -> int:
        return self._own(self.frames.alloc())

    def _physical_free(self, frame: int, *_: int) -> int:
        if self.frames.release(frame):
            if frame in self.tables.of_boot:
                self.unsound = self.unsound or f"physical::free({frame:#x}) gave a table of the kernel away"
            else:
                self.tables.forget(frame)
        return self._own(0)

    def manager(self, address: int) -> FastRegions | None:
        """The manager of regions that lies there: the kernel's, or that of a live process."""
        return self.regions if address == self.regions.address else self.processes.manager(address)

    def _virt_alloc(self, size: int, manager: int, _: int) -> int:
        return self._own(self._regions(manager).alloc(size))

    def _virt_alloc_at(self, address: int, size: int, manager: int) -> int:
        return self._own(self._regions(manager).alloc_at(address, size))

    def _virt_free(self, address: int, size: int, manager: int) -> int:
        heap = self.heap
        released = self._regions(manager).release(address, size)
        if released and any(address <= block < address + size for block in heap.sizes):
            self.unsound = self.unsound or f"virt::free({address:#x}, {size}) gave addresses of the heap away"
        return self._own(0)

    def _regions(self, manager: int) -> FastRegions:
        return self.manager(manager) or self.regions

    def _paging_map(self, directory: int, virtual: int, physical: int) -> int:
        # §2: a page of the kernel's regions is writable and no more; of others the place tells the flags.
        kernels = self.regions.start <= virtual < self.regions.end
        flags = WRITABLE_LEAF if kernels else self.processes.flags_of(directory, virtual)
        done = self.tables.map(directory, virtual, physical, flags)
        if done:
            self.processes.mapped(directory, virtual)
        return self._own(int(done))

    def _paging_unmap(self, directory: int, virtual: int, _: int) -> int:
        self.processes.unmapped(directory, virtual)
        return self._own(self.tables.unmap(directory, virtual))

    def _own(self, result: int) -> int:
        """Take the operation's own entry out of the diary."""
        self.diary.entries.pop()
        return result


def _wired(
    diary: Diary,
    frames: FastFrames,
    tables: FastTables,
    regions: FastRegions,
    habits: HeapHabits,
    process_list: int,
) -> FastMachine:
    """The parts of the kernel with an empty heap and no process."""
    heap = FastHeap(diary=diary, habits=habits, frames=frames, tables=tables, regions=regions)
    processes = FastProcesses(diary, frames, tables, heap, process_list)
    return FastMachine(diary, frames, tables, regions, heap, processes)


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
