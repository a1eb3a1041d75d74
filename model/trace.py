"""What a kernel notes about its allocators: the records of the trace ring (docs/spec.md §12)."""

from dataclasses import dataclass
from enum import IntEnum
from typing import Final, NamedTuple


class Operation(IntEnum):
    """The public operations by their numbers (§12.3)."""

    PHYSICAL_ALLOC = 1
    PHYSICAL_FREE = 2
    VIRT_ALLOC = 3
    VIRT_ALLOC_AT = 4
    VIRT_FREE = 5
    PAGING_MAP = 6
    PAGING_UNMAP = 7
    HEAP_MALLOC = 8
    HEAP_FREE = 9
    HEAP_REALLOC = 10
    HEAP_CALLOC = 11
    HEAP_ALIGNED_ALLOC = 12
    PLACEMENT_KALLOC = 13
    PROCESS_CREATE = 14
    PROCESS_DESTROY = 15
    SYS_MALLOC = 16
    SYS_FREE = 17
    SYS_REALLOC = 18
    SYS_CALLOC = 19
    SYS_BRK = 20
    SYS_MMAP = 21
    SYS_MUNMAP = 22
    STACK_GROWTH = 23


class TraceRecord(NamedTuple):
    """One record, its fields in the order of §12.1; `operation` is the raw number."""

    sequence: int
    operation: int
    cpu: int
    depth: int
    first: int
    second: int
    third: int
    result: int
    caller: int
    space: int


@dataclass(frozen=True, slots=True)
class Calls:
    """The four operations of one heap; those of a process count in its own space alone."""

    malloc: int
    free: int
    realloc: int
    calloc: int
    aligned_alloc: int = -1
    space: int | None = None

    def gives(self, record: TraceRecord) -> bool:
        """Whether an operation gave a block; `result` is where its data begins."""
        if (self.space is not None and record.space != self.space) or not record.result:
            return False
        return record.operation in (self.malloc, self.realloc, self.calloc, self.aligned_alloc)

    def takes(self, record: TraceRecord) -> int:
        """The block's data that an operation asked to take back; 0: none."""
        if self.space is not None and record.space != self.space:
            return 0
        moves = record.operation == self.realloc and (record.result != 0 or record.second == 0)
        return record.first if moves or record.operation == self.free else 0

    def size_bytes(self, record: TraceRecord) -> int:
        """The size of the block that an operation gave, as asked for, rounded to 16 (§7.4)."""
        if record.operation == self.calloc:
            size = record.first * record.second
        else:
            size = record.first if record.operation == self.malloc else record.second
        return (size + 15) & ~15


KERNEL_CALLS: Final = Calls(
    Operation.HEAP_MALLOC,
    Operation.HEAP_FREE,
    Operation.HEAP_REALLOC,
    Operation.HEAP_CALLOC,
    Operation.HEAP_ALIGNED_ALLOC,
)


def user_calls(directory: int) -> Calls:
    """The operations of the heap of the process that has that directory."""
    return Calls(
        Operation.SYS_MALLOC,
        Operation.SYS_FREE,
        Operation.SYS_REALLOC,
        Operation.SYS_CALLOC,
        space=directory,
    )


# Name as the C++ source has it, number of arguments, and which of them are addresses.
_FORMS: Final[dict[int, tuple[str, str]]] = {
    Operation.PHYSICAL_ALLOC: ("physical::alloc", ""),
    Operation.PHYSICAL_FREE: ("physical::free", "a"),
    Operation.VIRT_ALLOC: ("virt::alloc", "n"),
    Operation.VIRT_ALLOC_AT: ("virt::alloc", "an"),
    Operation.VIRT_FREE: ("virt::free", "an"),
    Operation.PAGING_MAP: ("paging::map", "aaa"),
    Operation.PAGING_UNMAP: ("paging::unmap", "aa"),
    Operation.HEAP_MALLOC: ("malloc", "n"),
    Operation.HEAP_FREE: ("free", "a"),
    Operation.HEAP_REALLOC: ("realloc", "an"),
    Operation.HEAP_CALLOC: ("calloc", "nn"),
    Operation.HEAP_ALIGNED_ALLOC: ("aligned_alloc", "nn"),
    Operation.PLACEMENT_KALLOC: ("placement_kalloc", "n"),
    Operation.PROCESS_CREATE: ("process create", "n"),
    Operation.PROCESS_DESTROY: ("process destroy", "n"),
    Operation.SYS_MALLOC: ("sys_malloc", "n"),
    Operation.SYS_FREE: ("sys_free", "a"),
    Operation.SYS_REALLOC: ("sys_realloc", "an"),
    Operation.SYS_CALLOC: ("sys_calloc", "nn"),
    Operation.SYS_BRK: ("sys_brk", "a"),
    Operation.SYS_MMAP: ("sys_mmap", "ann"),
    Operation.SYS_MUNMAP: ("sys_munmap", "an"),
    Operation.STACK_GROWTH: ("stack growth", "a"),
}

RETURNS_NOTHING: Final = frozenset({Operation.PHYSICAL_FREE, Operation.VIRT_FREE, Operation.HEAP_FREE})
"""`result` is 0 whatever happened: these functions are void (§12.3)."""


def call(operation: int, arguments: tuple[int, ...]) -> str:
    """An operation as a call: `malloc(96)`; addresses in hexadecimal, numbers in decimal."""
    name, kinds = _FORMS.get(operation, (f"operation {operation}", "aaa"))
    shown = (
        f"{value:#x}" if kind == "a" else str(value) for kind, value in zip(kinds, arguments, strict=False)
    )
    return f"{name}({', '.join(shown)})"


def called(record: TraceRecord) -> str:
    """A record's operation as a call."""
    return call(record.operation, (record.first, record.second, record.third))
