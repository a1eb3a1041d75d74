"""All processes of a kernel: made, asked and ended (docs/spec.md §14.2, §14.6, §15.1)."""

from dataclasses import dataclass, field
from typing import Final

from model.address_space import MMAP_START
from model.errors import ErrorKind
from model.fast.diary import Diary
from model.fast.frames import FastFrames
from model.fast.heap import FastHeap
from model.fast.process import Doubt, FastMappings, FastProcess
from model.fast.tables import UNKNOWN_FLAGS, FastTables
from model.fast.user_heap import FastUserHeap
from model.fast.user_pages import UserPages
from model.layouts import PROCESS
from model.trace import Operation, TraceRecord
from model.types import U64_MASK

_MMAP: Final = PROCESS.member("memory.mmap_.free_mem_list_.first_").offset_bytes
_HEAP_CALLS: Final = frozenset(
    (Operation.SYS_MALLOC, Operation.SYS_FREE, Operation.SYS_REALLOC, Operation.SYS_CALLOC)
)
OF_A_PROCESS: Final = frozenset(range(Operation.SYS_MALLOC, Operation.STACK_GROWTH + 1))
USER_SIDE: Final = OF_A_PROCESS | {Operation.PROCESS_CREATE, Operation.PROCESS_DESTROY}


@dataclass(slots=True)
class FastProcesses:
    """Live processes by directory, in order of pid; `head` is where the kernel keeps the first one."""

    diary: Diary
    frames: FastFrames
    tables: FastTables
    heap: FastHeap
    head: int
    live: dict[int, FastProcess] = field(default_factory=dict)
    doubts: list[Doubt] = field(default_factory=list)
    lost: bool = False
    """Whether a process was made that is not followed: then the list is not known."""

    def can(self, record: TraceRecord) -> bool:
        """Whether the twin can do an operation of this side; others are replayed by what they call."""
        operation = record.operation
        if operation == Operation.PROCESS_CREATE:
            return True
        if operation == Operation.PROCESS_DESTROY:
            return self._by_pid(record.first) is not None
        process = self.live.get(record.space)
        if process is None:
            return False
        of_heap = operation in _HEAP_CALLS or operation == Operation.SYS_BRK
        return not of_heap or process.doubt is None

    def doubtful(self, record: TraceRecord, *, maps: bool) -> bool:
        """Whether a call maps pages where the heap's own headers say otherwise; notes the first such."""
        if record.operation not in _HEAP_CALLS:
            return False
        process = self.live[record.space]
        if process.heap.maps(record.operation, record.first, record.second) == maps:
            return False
        self._doubt(process, record, None)
        return True

    def excuses(self, record: TraceRecord, given: int) -> bool:
        """Whether another result than `given` may be the process's own doing; notes the first such.

        Whatever the headers say, no block lies outside of the heap, and `free` says yes or no.
        """
        if record.operation not in _HEAP_CALLS:
            return False
        heap, result = self.live[record.space].heap, record.result
        inside = result % 16 == 0 and heap.start < result < heap.current
        if not (result in (0, U64_MASK) if record.operation == Operation.SYS_FREE else result == 0 or inside):
            return False
        self._doubt(self.live[record.space], record, given)
        return True

    def perform(self, record: TraceRecord) -> int:
        """Do one operation; its result as a record has it."""
        _, operation, _, _, first, second, third, _, _, space = record
        if operation in _HEAP_CALLS:
            return self.live[space].heap.call(operation, first, second)
        self.diary.depth += 1
        result = 0
        match operation:
            case Operation.PROCESS_CREATE:
                result = self._create(first)
            case Operation.PROCESS_DESTROY:
                self._destroy(first)
            case Operation.SYS_BRK:
                result = self.live[space].heap.brk(first)
            case Operation.SYS_MMAP:
                result = self.live[space].mmap(first, second, third)
            case Operation.SYS_MUNMAP:
                result = self.live[space].munmap(first, second)
            case Operation.STACK_GROWTH:
                result = self.live[space].grow_stack(first)
        self.diary.depth -= 1
        return result

    def give_up(self, record: TraceRecord) -> None:
        """An operation is replayed by what it calls: its process can be followed no longer."""
        if record.operation == Operation.PROCESS_CREATE:
            self.lost = self.lost or record.result != 0
        elif record.operation == Operation.PROCESS_DESTROY:
            process = self._by_pid(record.first)
            if process is not None:
                del self.live[process.pages.directory]
        elif record.operation not in _HEAP_CALLS and record.operation != Operation.SYS_BRK:
            self.lost = self.live.pop(record.space, None) is not None or self.lost

    # What operations outside of a process's own do to its pages: its loading.

    def flags_of(self, directory: int, page: int) -> int:
        """The flags that a page must have which is mapped by no operation of its process."""
        process = self.live.get(directory)
        return process.flags_of(page) if process is not None else UNKNOWN_FLAGS

    def mapped(self, directory: int, page: int) -> None:
        """A page of a program is mapped."""
        process = self.live.get(directory)
        if process is not None and process.loads(page):
            process.program[page] = None

    def unmapped(self, directory: int, page: int) -> None:
        """A page of a program that could not be loaded is unmapped."""
        process = self.live.get(directory)
        if process is not None:
            process.program.pop(page, None)

    # §14.2, §14.6

    def _create(self, pid: int) -> int:
        address = self.heap.nested_malloc(PROCESS.size_bytes)
        if address == 0:
            return 0
        directory = self.frames.alloc()
        if directory == 0:
            # §5.5: what `create_user_page_directory` lacks is counted like any table of paging.
            self.tables.errors[ErrorKind.OUT_OF_MEMORY] += 1
            self.heap.nested_free(address)
            return 0
        self.tables.make_user_directory(directory)
        pages = UserPages(self.frames, self.tables, directory)
        process = FastProcess(
            address,
            pid,
            pages,
            FastUserHeap(diary=self.diary, pages=pages),
            FastMappings(
                self.diary,
                self.frames,
                self.tables,
                address + _MMAP,
                MMAP_START,
                MMAP_START,
                [],
                [],
                [0] * len(ErrorKind),
                heap=self.heap,
            ),
        )
        if not (process.mappings.setup() and process.setup_stack()):
            process.cleanup()
            self.heap.nested_free(address)
            return 0
        self.live[directory] = process
        return address

    def _destroy(self, pid: int) -> None:
        process = self._by_pid(pid)
        if process is not None:
            del self.live[process.pages.directory]
            process.cleanup()
            self.heap.nested_free(process.address)

    def manager(self, address: int) -> FastMappings | None:
        """The mappings of a live process whose manager lies there."""
        return next((p.mappings for p in self.live.values() if p.mappings.address == address), None)

    def _by_pid(self, pid: int) -> FastProcess | None:
        return next((process for process in self.live.values() if process.pid == pid), None)

    def _doubt(self, process: FastProcess, record: TraceRecord, expected: int | None) -> None:
        process.doubt = Doubt(process.pid, record, expected)
        self.doubts.append(process.doubt)
