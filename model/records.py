"""What allocators keep in memory, as records: the one vocabulary of the model and of the tools.

A record holds the values exactly as they were found: `is_free` is the raw byte, a pointer may point
anywhere. Judging them is the business of `model.invariants`. Fields are those of docs/spec.md §10.
"""

from dataclasses import dataclass

from model.types import PhysicalAddress, VirtualAddress


@dataclass(frozen=True, slots=True)
class HeapRules:
    """What a heap's blocks must obey (docs/spec.md §7.1); another kernel has other numbers and habits.

    Without `has_magic`, `is_free` alone tells a block's state; without `state_apart` it is a bit of the field
    that holds the magic, and is overwritten with it. `expansion_bytes` is what every expansion
    adds, None when that varies. `fixed_heap_end`: an expansion does not move `heap_end`.
    `headers_in_total_free`: `total_free` counts one header more for every split, one less for every merge.
    """

    header_bytes: int = 48
    alignment_bytes: int = 16
    minimum_bytes: int = 16
    magic_free: int = 0xDEADBEEFCAFEBABE
    magic_used: int = 0xFEEDFACEDEADC0DE
    has_magic: bool = True
    state_apart: bool = True
    expansion_bytes: int | None = None
    fixed_heap_end: bool = False
    headers_in_total_free: bool = False


@dataclass(frozen=True, slots=True)
class HeapBlock:
    """One header (`memory::heap_block`) at virtual address `address`."""

    address: VirtualAddress
    size_bytes: int
    is_free: int
    next: VirtualAddress
    prev: VirtualAddress
    magic: int


@dataclass(frozen=True, slots=True)
class Heap:
    """The heap object (`memory::heap`): sizes in bytes, `errors` by `memory::error_kind`.

    `unkept` names the fields that the kernel does not keep, or nobody knows the place of: their values say
    nothing.
    """

    address: VirtualAddress
    heap_start: VirtualAddress
    heap_end: VirtualAddress
    heap_size: int
    first_block: VirtualAddress
    total_allocated: int
    total_free: int
    num_allocations: int
    num_frees: int
    num_expansions: int
    errors: tuple[int, ...]
    locked: int
    unkept: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class FrameNode:
    """One node (`physical::frame`) at virtual address `node`: a free frame and its successor."""

    node: VirtualAddress
    address: PhysicalAddress
    previous: VirtualAddress


@dataclass(frozen=True, slots=True)
class FrameManager:
    """The manager of physical frames (`physical`); `ranges` are [start, end) it manages.

    A kernel without an array of nodes has `nodes` 0 and `node_count` 0; `unkept` as for the heap.
    """

    address: VirtualAddress
    physical_end: PhysicalAddress
    free_list: VirtualAddress
    nodes: VirtualAddress
    node_count: int
    free_count: int
    ranges: tuple[tuple[PhysicalAddress, PhysicalAddress], ...]
    errors: tuple[int, ...]
    locked: int
    unkept: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Region:
    """One free region (`virt::node`) whose node lies at virtual address `node`."""

    node: VirtualAddress
    start: VirtualAddress
    size_bytes: int
    next: VirtualAddress
    prev: VirtualAddress


@dataclass(frozen=True, slots=True)
class RegionManager:
    """The manager of virtual regions (`virt`) over [start, end); `unkept` as for the heap."""

    address: VirtualAddress
    first: VirtualAddress
    last: VirtualAddress
    count: int
    spare: VirtualAddress
    spare_count: int
    start: VirtualAddress
    end: VirtualAddress
    errors: tuple[int, ...]
    locked: int
    unkept: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class UserHeap:
    """A process's heap object (`memory::user_allocator`): its blocks lie in [heap_start, heap_current).

    `unkept` as for the heap.
    """

    address: VirtualAddress
    heap_start: VirtualAddress
    heap_current: VirtualAddress
    heap_limit: VirtualAddress
    first_block: VirtualAddress
    page_directory: PhysicalAddress
    total_allocated: int
    num_blocks: int
    errors: tuple[int, ...]
    locked: int
    unkept: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class ProcessMemory:
    """What a process has in its lower half (`memory::process_memory`); all ranges are [start, end)."""

    page_directory: PhysicalAddress
    code_start: VirtualAddress
    code_end: VirtualAddress
    data_start: VirtualAddress
    data_end: VirtualAddress
    stack_start: VirtualAddress
    stack_end: VirtualAddress
    heap: UserHeap
    mmap: RegionManager


@dataclass(frozen=True, slots=True)
class Process:
    """One process (`coronel::process`) at virtual address `address` of the kernel's half."""

    address: VirtualAddress
    pid: int
    state: int
    exit_code: int
    next: VirtualAddress
    name: bytes
    memory: ProcessMemory

    @property
    def title(self) -> str:
        """The name up to its zero; what is no printable ASCII, as a damaged name may hold, becomes a dot."""
        text = self.name.split(b"\0")[0]
        return "".join(chr(byte) if 0x20 <= byte < 0x7F else "." for byte in text)


@dataclass(frozen=True, slots=True)
class Placed:
    """What lies in the placement area: `name` in words, physical addresses [start, end)."""

    name: str
    start: PhysicalAddress
    end: PhysicalAddress


@dataclass(frozen=True, slots=True)
class Placement:
    """The placement allocator: `address` is that of `__placement`, `next_free` its value."""

    address: VirtualAddress
    next_free: PhysicalAddress
    limit: PhysicalAddress
    objects: tuple[Placed, ...]


@dataclass(frozen=True, slots=True)
class Trace:
    """The ring of records (`coronel::trace`)."""

    address: VirtualAddress
    ring: VirtualAddress
    capacity: int
    next: int
    locked: int


@dataclass(frozen=True, slots=True)
class TraceRecord:
    """One record (`coronel::trace_record`) at virtual address `address`; `what` is the operation's number."""

    address: VirtualAddress
    sequence: int
    what: int
    cpu: int
    depth: int
    arguments: tuple[int, ...]
    result: int
    caller: VirtualAddress
    space: PhysicalAddress


@dataclass(frozen=True, slots=True)
class RunRules:
    """What a list of free pages that lies in the pages themselves must obey; a kernel has its own numbers.

    The link is at `link_offset` of a page; every other byte of a free page is `junk_free`. A page that is
    given out is filled with `junk_used`. None: the kernel does no such thing.
    """

    page_bytes: int
    link_offset: int
    junk_free: int | None
    junk_used: int | None


@dataclass(frozen=True, slots=True)
class RunList:
    """The list's head, held at virtual address `address`; pages of [start, end) may be in it.

    `count` is the kernel's own number of free pages; `unkept` as for the heap.
    """

    address: VirtualAddress
    head: VirtualAddress
    start: VirtualAddress
    end: VirtualAddress
    count: int
    locked: int
    unkept: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class FreeRun:
    """One free page: its link, and all stretches (address, bytes) of it that are not junk."""

    address: VirtualAddress
    next: VirtualAddress
    spoiled: tuple[tuple[VirtualAddress, bytes], ...] = ()


@dataclass(frozen=True, slots=True)
class ChunkRules:
    """What chunks with boundary tags must obey; a kernel has its own bits and numbers.

    The bits of `size_mask` in the size field are the size, header included. `prev_in_use` is the flag of the
    chunk before, `in_use` that of the chunk itself, 0 where the kernel has none; `other_flags` may be set.
    """

    size_mask: int
    prev_in_use: int
    in_use: int
    other_flags: int
    alignment_bytes: int
    minimum_bytes: int

    @property
    def flags(self) -> int:
        """Every bit below the size that means something."""
        return self.prev_in_use | self.in_use | self.other_flags


@dataclass(frozen=True, slots=True)
class Chunk:
    """One chunk at virtual address `address`; `size` is the field with its flags."""

    address: VirtualAddress
    prev_size: int
    size: int
    fd: VirtualAddress
    bk: VirtualAddress


@dataclass(frozen=True, slots=True)
class Bin:
    """One list of free chunks: `head` is the address at which it counts as a chunk itself."""

    head: VirtualAddress
    fd: VirtualAddress
    bk: VirtualAddress


@dataclass(frozen=True, slots=True)
class Arena:
    """A heap of chunks that tile [start, end); `top` is the last one, `unkept` as for the heap."""

    address: VirtualAddress
    start: VirtualAddress
    end: VirtualAddress
    top: VirtualAddress
    bins: tuple[Bin, ...]
    used_bytes: int
    used_chunks: int
    locked: int
    unkept: frozenset[str] = frozenset()
