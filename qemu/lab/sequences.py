"""Sequences of orders out of small numbers: mostly what a careful caller does, some of it hostile or damage.

A *draw* is four numbers that decide one order; any four make one, whatever stands before, so that draws can
be left out one by one when a sequence that shows something is made shorter.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

from lab.orders import Code, Order, Result
from model.layouts import FRAME, HEAP, HEAP_BLOCK, PHYSICAL
from model.machine import Machine
from model.types import PAGE_BYTES, U64_MASK

Draw = tuple[int, int, int, int]
"""Which order (below `KINDS`); then three numbers below `CHOICES` for its arguments."""

CHOICES: Final = 1 << 16
_HEADER: Final = HEAP_BLOCK.size_bytes
_FIELDS: Final = (0, 8, 16, 24, 32, 40)
_STRANGE: Final = (0, 1, 8, 16, 4096, 1 << 47, 1 << 63, U64_MASK - 4095, U64_MASK - 15, U64_MASK)
_SIZES: Final = (
    0, 1, 15, 16, 17, 48, 64, 65536 - 48, 65536 - 47, 65536, 4096 - 48, 1 << 40, (1 << 40) + 1,
    (1 << 40) - 15, 1 << 63, U64_MASK - 4095, U64_MASK - 63, U64_MASK - 15, U64_MASK - 14, U64_MASK,
)  # fmt: skip


@dataclass(slots=True)
class _Region:
    """Addresses that a sequence has got from the virtual manager."""

    at: int
    pages: int


@dataclass(slots=True)
class Writer:
    """Writes one sequence; what it remembers is which orders gave what, not what they really gave."""

    machine: Machine
    orders: list[Order] = field(default_factory=list)
    live: list[int] = field(default_factory=list)
    """Orders whose result is a block of the kernel heap that nobody has freed."""
    freed: list[int] = field(default_factory=list)
    frames: list[int] = field(default_factory=list)
    gone: list[int] = field(default_factory=list)
    """Frames that were given back, and that nobody can have got since: freeing them is a double free.

    Later it would free what is somebody's, a page table perhaps, and nothing has to survive that.
    """
    regions: list[_Region] = field(default_factory=list)
    directories: list[int] = field(default_factory=list)
    mapped: list[tuple[int | Result, int | Result]] = field(default_factory=list)
    processes: list[int] = field(default_factory=list)
    """Orders that have made a process; the last is the most wanted one."""
    blocks: list[tuple[int, int]] = field(default_factory=list)
    """Process and order of a block of its heap."""
    mappings: list[tuple[int, int, int]] = field(default_factory=list)
    """Process, order and length of what mmap gave."""
    is_torn: bool = False
    """Whether addresses were given back that are somebody else's."""

    def add(self, code: Code, *arguments: int | Result) -> int:
        """Write an order; its number."""
        if code is not Code.PHYSICAL_FREE:
            self.gone.clear()
        self.orders.append(Order(code, arguments))
        return len(self.orders) - 1

    # What arguments are made of.

    def process(self, x: int) -> int | Result:
        """A live process mostly; what is none, when there is none."""
        if self.processes and x % 64:
            return Result(self.processes[x // 64 % len(self.processes)])
        return (0, 0x8000000, U64_MASK)[x % 3]

    def size(self, x: int, y: int) -> int:
        """Mostly small; sometimes large, at a border, or absurd."""
        choice = x % 32
        if choice == 0:
            return y * 64 if x % 256 == 0 else _SIZES[y % len(_SIZES)]
        if choice == 1:
            return y if x % 64 == 1 else y % 8192
        return 1 + y % (2000 if choice < 8 else 300)

    def pointer(self, x: int, y: int) -> int | Result:
        """A live block mostly; else a freed one, a place inside one, or nothing of the heap's."""
        choice = x % 32
        pool = self.freed if choice == 0 else self.live
        if choice != 2 and pool:
            return Result(pool[y % len(pool)], (0, 8, 16, 48, -48, 64)[x // 32 % 6] if choice == 1 else 0)
        if choice > 2 or self.live:
            strange = (*_STRANGE, *self.landmarks())
            return strange[y % len(strange)]
        return 0

    def landmarks(self) -> tuple[int, ...]:
        """Addresses that are something else: managers, the first region, the borders of its space."""
        first = self.machine.regions.fields.get("start_")
        return (
            self.machine.heap.fields.address,
            first,
            first + _HEADER,
            first + 65536,
            first + 65536 + _HEADER,
            first + 131072 - _HEADER,
            self.machine.regions.fields.get("end_"),
            self.machine.regions.fields.get("end_") - 16,
            self.machine.frames.fields.get("nodes_"),
            self.machine.symbols["_text_start"],
        )

    def header(self, y: int) -> int | Result:
        """The header of some block, live or freed; of none, the place where the first one will be."""
        pool = self.live + self.freed
        first = self.machine.regions.fields.get("start_")
        return Result(pool[y % len(pool)], -_HEADER) if pool else first

    def directory(self, x: int, y: int) -> int | Result:
        """The kernel's mostly, or one that the sequence has made; seldom none at all."""
        choice = x % 16
        if choice == 0:
            return (0, 1, 4096 + 8, 1 << 46, 1 << 52, U64_MASK - 4095)[y % 6]
        if choice < 6 and self.directories:
            return Result(self.directories[y % len(self.directories)])
        return self.machine.cr3

    def page(self, x: int, y: int) -> int | Result:
        """A page of a region the sequence has got; seldom anything else."""
        choice = x % 16
        if choice > 2 and self.regions:
            region = self.regions[y % len(self.regions)]
            return Result(region.at, x // 16 % region.pages * PAGE_BYTES)
        first = self.machine.regions.fields.get("start_")
        strange = (
            0, 4096, 8, 0x400000, 0x7FFF_FFFF_F000, 0x8000_0000_0000, 0xFFFF_7FFF_FFFF_F000,
            0xFFFF_8000_0000_0000, first, first + 8, first + (1 << 21), 0xFFFF_FFFF_C000_0000,
            0xFFFF_FFFF_8010_0000, 0xFFFF_FFFF_BFDF_F000, U64_MASK - 4095,
        )  # fmt: skip
        return strange[y % len(strange)]

    def frame(self, x: int, y: int) -> int | Result:
        """A frame the sequence has got; seldom one given back, or none at all."""
        choice = x % 16
        if choice == 0 and self.gone:
            return Result(self.gone[y % len(self.gone)])
        if choice > 1 and self.frames:
            return Result(self.frames[y % len(self.frames)], 8 if choice == 2 else 0)
        strange = (0, 8, 0x1000, 0x9F000, 0x100000, 0xFEE00000, 1 << 40, (1 << 52) - 4096, 1 << 52,
                   1 << 63, U64_MASK - 4095, U64_MASK)  # fmt: skip
        return strange[y % len(strange)]


Step = Callable[[Writer, int, int, int], object]


def _take(pool: list[int], y: int, other: list[int]) -> None:
    """What a sequence gives back by the y-th place of a list is no longer live."""
    if pool:
        other.append(pool.pop(y % len(pool)))


def _allocate(code: Code) -> Step:
    return lambda w, x, y, z: w.live.append(w.add(code, w.size(x, y)))


def _free(code: Code) -> Step:
    def step(w: Writer, x: int, y: int, _: int) -> None:
        pointer = w.pointer(x, y)
        w.add(code, pointer)
        if isinstance(pointer, Result) and pointer.offset == 0 and pointer.of in w.live:
            w.live.remove(pointer.of)
            w.freed.append(pointer.of)

    return step


def _realloc(w: Writer, x: int, y: int, z: int) -> None:
    pointer = w.pointer(x, y)
    number = w.add(Code.HEAP_REALLOC, pointer, w.size(z, y // 7))
    if isinstance(pointer, Result) and pointer.of in w.live:
        # It may have moved or not: the old pointer is stale at least half of the time.
        w.live.remove(pointer.of)
        w.freed.append(pointer.of)
    w.live.append(number)


def _calloc(w: Writer, x: int, y: int, z: int) -> None:
    if x % 16 == 0:
        w.live.append(w.add(Code.HEAP_CALLOC, w.size(0, y), w.size(0, z)))
    else:
        w.live.append(w.add(Code.HEAP_CALLOC, 1 + z % 20, w.size(x, y) % 4096))


def _aligned(w: Writer, x: int, y: int, z: int) -> None:
    alignment = (0, 3, 1 << 20, 1 << 33, 1 << 63, U64_MASK)[y % 6] if z % 16 == 0 else 1 << z % 14
    w.live.append(w.add(Code.HEAP_ALIGNED_ALLOC, alignment, w.size(x, y)))


def _fill(w: Writer, x: int, y: int, z: int) -> None:
    """The block's bytes, mostly not more than it has."""
    pool = w.live if x % 8 or not w.freed else w.freed
    if pool:
        number = pool[y % len(pool)]
        w.add(Code.FILL, Result(number), z & 0xFF, 1 + (y // 64) % 16)


def _overflow(w: Writer, x: int, y: int, z: int) -> None:
    """More bytes than it has, or before its first."""
    if w.live:
        start = -(1 + x % _HEADER) if x % 3 == 0 else 0
        w.add(
            Code.FILL, Result(w.live[y % len(w.live)], start), (0, 0x41, 0xFF, z & 0xFF)[z % 4], 1 + z % 400
        )


def _damage(w: Writer, x: int, y: int, z: int) -> None:
    """One field of a header: another header, a number near the right one, or anything."""
    at = w.header(y)
    offset = _FIELDS[x % 6]
    target = Result(at.of, at.offset + offset) if isinstance(at, Result) else at + offset
    values: tuple[int | Result, ...] = (
        w.header(z), w.header(z // 3), 0, 1, 16, 15, 48, 64, 128, 65536 - 48, 7, 1 << 40, U64_MASK,
        U64_MASK - 15, 0xDEADBEEFCAFEBABE, 0xFEEDFACEDEADC0DE, 0x4141414141414141, *w.landmarks(),
    )  # fmt: skip
    w.add(Code.STORE, target, values[z % len(values)], 1 if offset == 8 else (8, 8, 8, 1, 4)[x // 6 % 5])


def _damage_heap(w: Writer, x: int, y: int, z: int) -> None:
    """A counter of the heap object, or where its list begins."""
    names = ("first_block_", "total_allocated_", "total_free_", "num_frees_")
    at = w.machine.heap.fields.address + HEAP.member(names[x % len(names)]).offset_bytes
    values: tuple[int | Result, ...] = (0, 16, 48, U64_MASK, w.header(y), w.header(z), *w.landmarks())
    w.add(Code.STORE, at, values[z % len(values)], 8)


def _damage_frames(w: Writer, x: int, y: int, z: int) -> None:
    """A node of the frame list near its head, or the head itself."""
    nodes, head = w.machine.frames.fields.get("nodes_"), w.machine.frames.fields.get("free_list_")
    near = head + FRAME.size_bytes * (y % 24)
    other = head + FRAME.size_bytes * (z // 8 % 24)
    values = (0, near, other, other + 8, nodes + FRAME.size_bytes * (1 << 20), (near - nodes) * 256, 4096)
    fields = w.machine.frames.fields.address
    at = (near, near + 8, near + 8, fields + PHYSICAL.member("free_list_").offset_bytes,
          fields + PHYSICAL.member("free_count_").offset_bytes)[x % 5]  # fmt: skip
    w.add(Code.STORE, at, values[z % len(values)], 8)


def _frame_free(w: Writer, x: int, y: int, _: int) -> None:
    frame = w.frame(x, y)
    w.add(Code.PHYSICAL_FREE, frame)
    if isinstance(frame, Result) and frame.offset == 0 and frame.of in w.frames:
        _take(w.frames, w.frames.index(frame.of), w.gone)


def _virt_alloc(w: Writer, x: int, y: int, _: int) -> None:
    if x % 16 == 0:
        w.add(Code.VIRT_ALLOC, _SIZES[y % len(_SIZES)])
    else:
        size = 1 + y % (8 * PAGE_BYTES)
        w.regions.append(_Region(w.add(Code.VIRT_ALLOC, size), 1 + (size - 1) // PAGE_BYTES))


def _virt_alloc_at(w: Writer, x: int, y: int, z: int) -> None:
    first = w.machine.regions.fields.get("start_")
    at: int | Result = first + PAGE_BYTES * (y % 128)
    if x % 16 == 0:
        at = (*_STRANGE, *w.landmarks())[y % 20]
    elif x % 4 == 0 and w.regions:
        at = Result(w.regions[y % len(w.regions)].at, PAGE_BYTES * (z % 4 - 1))
    pages = 1 + z % 6
    w.regions.append(_Region(w.add(Code.VIRT_ALLOC_AT, at, pages * PAGE_BYTES - (x % 3)), pages))


def _virt_free(w: Writer, x: int, y: int, z: int) -> None:
    if x % 8 and w.regions:
        region = w.regions[y % len(w.regions)]
        first = z % region.pages if x % 4 == 0 else 0
        w.add(Code.VIRT_FREE, Result(region.at, first * PAGE_BYTES), (region.pages - first) * PAGE_BYTES)
        region.pages = first
        if first == 0:
            w.regions.remove(region)
    else:
        w.is_torn = True
        strange = (*_STRANGE, *w.landmarks())
        w.add(Code.VIRT_FREE, strange[y % len(strange)], w.size(z, y))


def _map(w: Writer, x: int, y: int, z: int) -> None:
    directory, page = w.directory(x, y), w.page(z, y)
    w.add(Code.PAGING_MAP, directory, page, w.frame(x // 16, z), y // 64)
    w.mapped.append((directory, page))


def _unmap(w: Writer, x: int, y: int, z: int) -> None:
    """What was mapped, seldom anything else; never what the kernel itself stands on.

    Where a region was given back that is the heap's, the same addresses may be handed out again: who unmaps
    them then takes the ground from under the heap, and nothing has to survive that (docs/spec.md §7.3).
    """
    if w.is_torn:
        return
    if x % 16 and w.mapped:
        directory, page = w.mapped[y % len(w.mapped)]
    else:
        strange = (1, 4096, 0x8000_0000_0000, 0xFFFF_8000_0000_0000, U64_MASK - 4095, 0xFFFF_FFFF_A000_0000)
        directory, page = w.directory(z, y), strange[y % len(strange)]
    if isinstance(page, Result) or not _is_kernels(page):
        w.add(Code.PAGING_UNMAP, directory, page)


def _is_kernels(page: int) -> bool:
    return 0xFFFF_FFFF_8010_0000 <= page < 0xFFFF_FFFF_A000_0000 or page >= 0xFFFF_FFFF_BFE0_0000


def _mapio(w: Writer, x: int, y: int, z: int) -> None:
    strange = (0, 0xFEE00000, (1 << 52) - 4096, 1 << 52, U64_MASK - 4095, U64_MASK, 1 << 63, 0xB8000)
    sizes = (0, 1, 4096, 4097, 1 << 30, 1 << 46, U64_MASK, 1 << 63)
    device = strange[y % len(strange)] if x % 4 == 0 else 0xFE000000 + y
    w.add(Code.MAPIO, device, sizes[z % len(sizes)] if x % 8 == 0 else 1 + z % 20000)


def _directory(code: Code) -> Step:
    return lambda w, x, y, z: w.directories.append(w.add(code))


def _placement(w: Writer, x: int, y: int, _: int) -> None:
    w.add(Code.PLACEMENT_KALLOC, w.size(x, y), x & 1)


# What processes do.


def _process(w: Writer, x: int, _: int, __: int) -> None:
    """Another one, of a module or of nothing; at most four at a time."""
    if len(w.processes) < 4:
        w.processes.append(w.add(Code.PROCESS_CREATE, x % 4))


def _destroy(w: Writer, x: int, y: int, _: int) -> None:
    if w.processes and x % 4 == 0:
        gone = w.processes.pop(y % len(w.processes))
        w.add(Code.PROCESS_DESTROY, Result(gone))
        w.blocks = [block for block in w.blocks if block[0] != gone]
        w.mappings = [mapping for mapping in w.mappings if mapping[0] != gone]


def _user_pointer(w: Writer, x: int, y: int) -> tuple[int | Result, int | Result]:
    """A process and a block of its heap; seldom another's block, or an address that is none."""
    if x % 16 > 1 and w.blocks:
        owner, block = w.blocks[y % len(w.blocks)]
        return Result(owner), Result(block)
    strange = (*_STRANGE, 0x400000, 0x7FFFFF0, 0x8000000, 0x8000030, 0x8000040, 0x8010000 - 48, 0x8010000,
               0x8010030, 0x3FFFFFF0, 0x40000000, 0x7FFEFFF0, 0x7FFFFF80)  # fmt: skip
    if x % 16 == 1 and w.blocks:
        return w.process(y), Result(w.blocks[y % len(w.blocks)][1], (0, 8, 16, -48)[x // 16 % 4])
    return w.process(y), strange[y % len(strange)]


def _sys_malloc(w: Writer, x: int, y: int, z: int) -> None:
    process = w.process(z)
    number = w.add(Code.SYS_MALLOC, process, w.size(x, y))
    if isinstance(process, Result):
        w.blocks.append((process.of, number))


def _sys_calloc(w: Writer, x: int, y: int, z: int) -> None:
    process = w.process(z)
    sizes = (w.size(0, y), w.size(0, x)) if x % 16 == 0 else (1 + x % 20, w.size(x, y) % 4096)
    number = w.add(Code.SYS_CALLOC, process, *sizes)
    if isinstance(process, Result):
        w.blocks.append((process.of, number))


def _sys_free(w: Writer, x: int, y: int, _: int) -> None:
    process, pointer = _user_pointer(w, x, y)
    w.add(Code.SYS_FREE, process, pointer)


def _sys_realloc(w: Writer, x: int, y: int, z: int) -> None:
    process, pointer = _user_pointer(w, x, y)
    number = w.add(Code.SYS_REALLOC, process, pointer, w.size(z, y // 7))
    if isinstance(process, Result):
        w.blocks.append((process.of, number))


def _sys_brk(w: Writer, x: int, y: int, z: int) -> None:
    """A little more or less mostly; seldom a border, or all there is."""
    strange = (0, 1, 0x7FFFFFF, 0x8000000, 0x3FFFFFFF, 0x40000000, 0x40000001, U64_MASK)
    address = strange[y % len(strange)] if x % 16 == 0 else 0x8000000 + y
    w.add(Code.SYS_BRK, w.process(z), address)


def _sys_mmap(w: Writer, x: int, y: int, z: int) -> None:
    process = w.process(z)
    starts = (0, 0, 0, 0, 0x40000000 + y % 64 * PAGE_BYTES, 0x40000000 + y % 16 * PAGE_BYTES, 0x6FFFF000, 8,
              0x70000000, 0x3FFFF000, U64_MASK - 4095)  # fmt: skip
    length = (0, U64_MASK, U64_MASK - 4095, 1 << 30, 0x30000000)[y % 5] if x % 32 == 0 else 1 + y % 30000
    protection = (0, 2, 4, 7, 8, 5, U64_MASK, 1)[y % 8] if x // 32 % 16 == 0 else 1 + 2 * (x // 512 % 2)
    number = w.add(Code.SYS_MMAP, process, starts[x % len(starts)], length, protection)
    if isinstance(process, Result):
        w.mappings.append((process.of, number, -(-length // PAGE_BYTES) * PAGE_BYTES))


def _sys_munmap(w: Writer, x: int, y: int, z: int) -> None:
    if w.mappings and x % 8:
        owner, number, length = w.mappings[y % len(w.mappings)]
        offset = (0, 0, 0, PAGE_BYTES, 8, -PAGE_BYTES)[z % 6]
        lengths = (length, length, PAGE_BYTES, length - offset, length + PAGE_BYTES, length - 1, 0)
        w.add(Code.SYS_MUNMAP, Result(owner), Result(number, offset), lengths[x // 8 % 7])
    else:
        starts = (*_STRANGE, 0x40000000, 0x6FFFF000, 0x8000000, 0x400000, 0x7FFFF000)
        w.add(
            Code.SYS_MUNMAP, w.process(z), starts[y % len(starts)], (0, 4096, 8192, 1 << 40, U64_MASK)[x % 5]
        )


def _grow_stack(w: Writer, x: int, y: int, z: int) -> None:
    addresses = (0x7FFEFFF8, 0x7FFE0000 - y * 8, 0x7F800000, 0x7F7FFFFF, 0x7FFFF000, 0x80000000, 0, U64_MASK)
    w.add(Code.STACK_GROWTH, w.process(z), addresses[x % 8 if x % 64 == 0 else x % 2])


def _user_damage(w: Writer, x: int, y: int, z: int) -> None:
    """A process writes over a header of its own heap, or anywhere it can."""
    if w.blocks:
        owner, block = w.blocks[y % len(w.blocks)]
        other = Result(w.blocks[z % len(w.blocks)][1], -_HEADER)
        values: tuple[int | Result, ...] = (
            other, other, 0, 1, 7, 16, 64, 128, 65536 - 48, U64_MASK, 0x8000000, 0x8000030, 0x8010000,
            0x40000000,
            0xDEADBEEFCAFEBABE, 0xFEEDFACEDEADC0DE, 0xFFFF_FFFF_8040_0000,
        )  # fmt: skip
        offset = _FIELDS[x % 6]
        at = Result(block, offset - _HEADER)
        w.add(Code.USER_STORE, Result(owner), at, values[z // 8 % len(values)], 1 if offset == 8 else 8)


def _validate(w: Writer, x: int, y: int, z: int) -> None:
    process, pointer = _user_pointer(w, x // 4, y)
    if w.mappings and x % 3 == 0:
        owner, number, length = w.mappings[y % len(w.mappings)]
        w.add(Code.USER_VALIDATE, Result(owner), Result(number, z % 3 - 1), length - z // 3 % 3, z % 2)
    else:
        w.add(Code.USER_VALIDATE, process, pointer, w.size(x, z), z % 2)


_STEPS: Final[tuple[tuple[int, Step], ...]] = (
    (14, _allocate(Code.KALLOC)),
    (6, _allocate(Code.HEAP_MALLOC)),
    (12, _free(Code.KFREE)),
    (4, _free(Code.HEAP_FREE)),
    (8, _realloc),
    (3, _calloc),
    (5, _aligned),
    (4, _fill),
    (2, lambda w, x, y, z: w.add(Code.VALIDATE_HEAP)),
    (5, lambda w, x, y, z: w.frames.append(w.add(Code.PHYSICAL_ALLOC))),
    (4, _frame_free),
    (5, _virt_alloc),
    (3, _virt_alloc_at),
    (4, _virt_free),
    (6, _map),
    (4, _unmap),
    (1, _directory(Code.CREATE_PAGE_DIRECTORY)),
    (1, _directory(Code.CREATE_USER_PAGE_DIRECTORY)),
    (2, _mapio),
    (1, _placement),
    (2, _overflow),
    (3, _damage),
    (1, _damage_heap),
    (1, _damage_frames),
    (5, _process),
    (2, _destroy),
    (12, _sys_malloc),
    (9, _sys_free),
    (6, _sys_realloc),
    (3, _sys_calloc),
    (2, _sys_brk),
    (6, _sys_mmap),
    (5, _sys_munmap),
    (2, _grow_stack),
    (4, _user_damage),
    (3, _validate),
)
_TABLE: Final = tuple(step for weight, step in _STEPS for _ in range(weight))
KINDS: Final = len(_TABLE)


def sequence(machine: Machine, draws: Iterable[Draw]) -> list[Order]:
    """The orders that the draws decide, for a machine as it is after boot."""
    writer = Writer(machine)
    for kind, x, y, z in draws:
        _TABLE[kind % KINDS](writer, x, y, z)
    return writer.orders
