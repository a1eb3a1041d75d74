"""Sequences of orders out of small numbers: mostly what a careful caller does, some of it hostile or damage.

A *draw* is four numbers that decide one order; any four make one, whatever stands before, so that draws can
be left out one by one when a sequence that shows something is made shorter.
"""

from collections.abc import Callable, Iterable
from typing import Final

from lab import process_steps
from lab.orders import Code, Order, Result
from lab.sequence_writer import FIELDS, HEADER_BYTES, SIZES, STRANGE, Region, Writer
from model.layouts import FRAME, HEAP, PHYSICAL
from model.machine import Machine
from model.types import PAGE_BYTES, U64_MASK

Draw = tuple[int, int, int, int]
"""Which order (below `KINDS`); then three numbers below `CHOICES` for its arguments."""

CHOICES: Final = 1 << 16
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
        start = -(1 + x % HEADER_BYTES) if x % 3 == 0 else 0
        w.add(
            Code.FILL, Result(w.live[y % len(w.live)], start), (0, 0x41, 0xFF, z & 0xFF)[z % 4], 1 + z % 400
        )


def _damage(w: Writer, x: int, y: int, z: int) -> None:
    """One field of a header: another header, a number near the right one, or anything."""
    at = w.header(y)
    offset = FIELDS[x % 6]
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
        w.add(Code.VIRT_ALLOC, SIZES[y % len(SIZES)])
    else:
        size = 1 + y % (8 * PAGE_BYTES)
        w.regions.append(Region(w.add(Code.VIRT_ALLOC, size), 1 + (size - 1) // PAGE_BYTES))


def _virt_alloc_at(w: Writer, x: int, y: int, z: int) -> None:
    first = w.machine.regions.fields.get("start_")
    at: int | Result = first + PAGE_BYTES * (y % 128)
    if x % 16 == 0:
        at = (*STRANGE, *w.landmarks())[y % 20]
    elif x % 4 == 0 and w.regions:
        at = Result(w.regions[y % len(w.regions)].at, PAGE_BYTES * (z % 4 - 1))
    pages = 1 + z % 6
    w.regions.append(Region(w.add(Code.VIRT_ALLOC_AT, at, pages * PAGE_BYTES - (x % 3)), pages))


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
        strange = (*STRANGE, *w.landmarks())
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
    (5, process_steps.process),
    (2, process_steps.destroy),
    (12, process_steps.sys_malloc),
    (9, process_steps.sys_free),
    (6, process_steps.sys_realloc),
    (3, process_steps.sys_calloc),
    (2, process_steps.sys_brk),
    (6, process_steps.sys_mmap),
    (5, process_steps.sys_munmap),
    (2, process_steps.grow_stack),
    (4, process_steps.user_damage),
    (3, process_steps.validate),
)
_TABLE: Final = tuple(step for weight, step in _STEPS for _ in range(weight))
KINDS: Final = len(_TABLE)


def sequence(machine: Machine, draws: Iterable[Draw]) -> list[Order]:
    """The orders that the draws decide, for a machine as it is after boot."""
    writer = Writer(machine)
    for kind, x, y, z in draws:
        _TABLE[kind % KINDS](writer, x, y, z)
    return writer.orders
