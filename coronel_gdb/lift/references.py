"""Which heap blocks anything still refers to: a conservative look at every word that the kernel could use.

Roots are data and bss, the kernel stack above the stack pointer, the placement area and pages of the kernel
that are no heap; from there through the used blocks. Any word that points into a block's data counts as a
reference; only the heap itself refers to headers. What records the past (the trace, notes of seeded faults)
is no root.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress

from coronel_gdb.errors import CoronelError, ReadFault
from coronel_gdb.lift.image import Image
from coronel_gdb.lift.space import AddressSpace
from coronel_gdb.profiles.schema import ResolvedProfile
from coronel_gdb.protocols import Target
from model.address_space import DEVICE_BASE, KERNEL_BASE, STACK_END, STACK_START, WINDOW_BASE, WINDOW_END
from model.records import FrameManager, HeapBlock
from model.spaces import Space
from model.types import VirtualAddress

_REGISTERS = ("rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rbp", *(f"r{number}" for number in range(8, 16)))
_WORD = 8


def unreferenced(
    roots: Iterable[bytes], words: Iterable[int], blocks: Sequence[HeapBlock], image: Image, header_bytes: int
) -> list[HeapBlock]:
    """The used blocks that no root leads to; `blocks` are those of a sound heap, in any order."""
    used = sorted((block for block in blocks if not block.is_free), key=lambda block: block.address)
    starts = [block.address + header_bytes for block in used]
    ends = [start + block.size_bytes for start, block in zip(starts, used, strict=True)]
    if not used:
        return []
    low, high = starts[0], ends[-1]
    reached = bytearray(len(used))
    pending: list[int] = []

    def follow(word: int) -> None:
        index = bisect_right(starts, word) - 1
        if index >= 0 and word < ends[index] and not reached[index]:
            reached[index] = 1
            pending.append(index)

    for word in words:
        follow(word)
    for data in roots:
        for word in _words_between(data, low, high):
            follow(word)
    while pending:
        index = pending.pop()
        data = image.bytes_at(starts[index], used[index].size_bytes) or b""
        for word in _words_between(data, low, high):
            follow(word)
    return [block for block, mark in zip(used, reached, strict=True) if not mark]


def _words_between(data: bytes, low: int, high: int) -> list[int]:
    words = memoryview(data)[: len(data) // _WORD * _WORD].cast("Q")
    return [word for word in words if low <= word < high]


def registers(target: Target) -> Iterator[int]:
    """What the CPU holds; a host that has no such registers gives none."""
    for name in _REGISTERS:
        with suppress(CoronelError):
            yield target.register(name)


def roots(
    target: Target,
    space: AddressSpace,
    profile: ResolvedProfile,
    kernel: Space,
    manager: FrameManager,
    extents: Iterable[tuple[int, int]],
) -> Iterator[bytes]:
    """The memory that counts as in use by the kernel, in pieces; `extents` are those of the heap.

    Of a kernel of another address map than docs/spec.md §2, all that it may write to.
    """
    ignored = list(_ignored(target, space, profile, manager))
    ignored += list(extents)
    if profile.specified:
        ignored.append((STACK_START, _stack_pointer(target)))
    for run in kernel.runs:
        start, end = int(run.virtual), run.virtual + run.size_bytes
        if not run.rights.writable or not (_is_memory(start) if profile.specified else start >> 63):
            continue
        for low, high in _without(start, end, ignored):
            for piece in space.runs(VirtualAddress(low), VirtualAddress(high)):
                if piece.lost:  # what refers to a block may be in there
                    raise ReadFault("virtual", piece.start, piece.end - piece.start, piece.reason)
                if piece.data is not None:
                    yield piece.data


def _is_memory(start: int) -> bool:
    """Whether pages of the kernel there are its own memory, and neither devices nor windows (§2)."""
    return KERNEL_BASE <= start < WINDOW_BASE or WINDOW_END <= start < DEVICE_BASE


def _stack_pointer(target: Target) -> int:
    """Where the used part of the kernel stack begins; all of it when the CPU is on another one."""
    with suppress(CoronelError):
        pointer = target.register("rsp")
        if STACK_START <= pointer < STACK_END:
            return pointer & -_WORD
    return STACK_START


def _ignored(
    target: Target, space: AddressSpace, profile: ResolvedProfile, manager: FrameManager
) -> Iterator[tuple[int, int]]:
    if manager.node_count:
        yield manager.nodes, manager.nodes + profile.frames.node.size_bytes * manager.node_count
    for name, size_bytes in profile.notes.items():
        address = target.symbol(name)
        if address is not None:
            yield address, address + size_bytes
    ring = target.symbol(profile.trace) if profile.trace else None
    if ring is not None:
        with suppress(CoronelError):
            start, capacity = space.read_u64(ring), space.read_u64(VirtualAddress(ring + _WORD))
            yield start, start + 64 * min(capacity, 1 << 20)  # §12.1, §12.2


def _without(start: int, end: int, holes: Sequence[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """What is left of [start, end)."""
    at = start
    for low, high in sorted(holes):
        if high <= at or low >= end:
            continue
        if low > at:
            yield at, low
        at = max(at, high)
    if at < end:
        yield at, end
