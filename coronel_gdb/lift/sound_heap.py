"""Proof in bulk that a heap is sound; no proof, no answer: then the heap is walked with care.

What is proved is what `model.invariants.heap` asks for, of every block and of the heap object. A header is
any 16-byte place with a magic value. Most headers are followed at once by their neighbour in the list; where
they are not, because an absorbed header lies between or a region ends, the list is followed link by link.
What it does not reach is what merged blocks left behind.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from types import ModuleType
from typing import Any

from coronel_gdb.lift.bulk import numpy_for
from coronel_gdb.lift.image import Image
from coronel_gdb.profiles.schema import HeapProfile
from model.records import Heap, HeapBlock, HeapRules
from model.types import PAGE_BYTES, U64_MASK, VirtualAddress

_ROLES = ("size", "is_free", "next", "prev", "magic")
_SMALL_BLOCK_BYTES = 32  # as small as blocks are on average: decides whether a heap may hold many


@dataclass(frozen=True, slots=True)
class SoundHeap:
    """What a heap that was proved sound holds; bytes are those of the data, headers not counted."""

    used: int
    free: int
    used_bytes: int
    free_bytes: int
    largest_free_bytes: int
    regions: tuple[tuple[int, int], ...]

    @property
    def count(self) -> int:
        """All blocks."""
        return self.used + self.free


def prove(heap: Heap, image: Image, profile: HeapProfile, blocks: int | None = None) -> SoundHeap | None:
    """The proof over the bytes of the whole heap; None when anything at all is not as it must be.

    A user heap counts its `blocks`, but neither its free bytes nor its calls (§15.3).
    """
    if not heap.first_block or not suits(profile) or heap.unkept:
        return None
    numpy = numpy_for(heap.heap_size // _SMALL_BLOCK_BYTES)
    proved = by_arrays(heap, image, profile, numpy) if numpy else by_steps(heap, image, profile)
    counted = proved and (_counted if blocks is None else _user_counted)(heap, proved)
    if not counted or (proved and blocks not in (None, proved.count)):
        return None
    return proved


def suits(profile: HeapProfile) -> bool:
    """Whether headers are laid out in the one way that is decoded in bulk."""
    if not all(role in profile.block for role in _ROLES):
        return False
    members = [profile.block.members[role] for role in _ROLES]
    words = all(
        member.size_bytes == 8 and member.offset_bytes % 8 == 0 for member in (members[0], *members[2:])
    )
    aligned = profile.rules.alignment_bytes == 16 and profile.rules.header_bytes % 16 == 0
    ordered = all(first.offset_bytes < second.offset_bytes for first, second in pairwise(members))
    plain = not profile.block.parts and not profile.rules.fixed_heap_end
    return plain and words and aligned and ordered and members[1].size_bytes == 1


def blocks_of(heap: Heap, image: Image, profile: HeapProfile) -> Iterator[HeapBlock]:
    """The blocks of a heap that was proved sound, in list order."""
    unpack = profile.block.unpacker(_ROLES)
    at, base, data = int(heap.first_block), 0, b""
    while at:
        if not base <= at < base + len(data):
            found = image.chunk(at)
            assert found is not None, "a proved heap is readable"
            base, data = found
        size, is_free, after, before, magic = unpack(data, at - base)
        yield HeapBlock(
            VirtualAddress(at), size, is_free, VirtualAddress(after), VirtualAddress(before), magic
        )
        at = after


def by_steps(heap: Heap, image: Image, profile: HeapProfile) -> SoundHeap | None:
    """Block by block, with the standard library alone; the heap's own figures are not compared here."""
    unpack, rules = profile.block.unpacker(_ROLES), profile.rules
    header, smallest, magic_free, magic_used = (
        rules.header_bytes, rules.minimum_bytes, rules.magic_free, rules.magic_used,
    )  # fmt: skip
    base, data, limit = 0, b"", 0
    counts, sums, largest, covered = [0, 0], [0, 0], 0, 0
    regions: list[tuple[int, int]] = []
    at, before, free_end = int(heap.first_block), 0, 0
    start = at
    while True:
        if at & 15:
            return None
        if not base <= at <= limit - header:
            found = image.chunk(at)
            if found is None or at + header > found[0] + len(found[1]):
                return None
            base, data = found
            limit = base + len(data)
        size, is_free, after, back, magic = unpack(data, at - base)
        end = at + header + size
        if back != before or size & 15 or size < smallest or end > limit:
            return None
        if magic == magic_free and is_free == 1:
            if free_end == at:
                return None
            free_end = end
            largest = max(largest, size)
        elif magic != magic_used or is_free:
            return None
        counts[is_free] += 1
        sums[is_free] += size
        covered += header + size
        if covered > heap.heap_size:
            return None
        if after != end:
            if end % PAGE_BYTES or after % PAGE_BYTES:
                return None
            regions.append((start, end))
            start = after
            if not after:
                break
        before, at = at, after
    return SoundHeap(counts[0], counts[1], sums[0], sums[1], largest, tuple(regions))


def _counted(heap: Heap, sound: SoundHeap) -> bool:
    """Whether the heap object says the same (§7.2)."""
    return (
        _user_counted(heap, sound)
        and (heap.num_allocations - heap.num_frees) & U64_MASK == sound.used
        and heap.total_free == sound.free_bytes
    )


def _user_counted(heap: Heap, sound: SoundHeap) -> bool:
    """What the heap objects of kernel and processes have in common; regions do not overlap (§7.2, §15.3)."""
    return (
        heap.heap_size == sum(end - start for start, end in sound.regions)
        and heap.heap_start == min(start for start, _ in sound.regions)
        and heap.heap_end == max(end for _, end in sound.regions)
        and heap.total_allocated == sound.used_bytes
        and all(first[1] <= second[0] for first, second in pairwise(sorted(sound.regions)))
    )


@dataclass(frozen=True, slots=True)
class _Headers:
    """Fields of many headers side by side; `limit` is where the readable memory of each one ends."""

    address: Any
    size: Any
    is_free: Any
    next: Any
    prev: Any
    magic: Any
    limit: Any

    def at(self, index: Any) -> "_Headers":
        return _Headers(*(getattr(self, name)[index] for name in self.__slots__))


def by_arrays(heap: Heap, image: Image, profile: HeapProfile, numpy: ModuleType) -> SoundHeap | None:
    """All headers at once; the heap's own figures are not compared here."""
    rules = profile.rules
    parts = [_headers(start, data, profile, numpy) for start, data in image.chunks() if start % 16 == 0]
    if not parts:
        return None
    found = _Headers(*(numpy.concatenate(columns) for columns in zip(*map(_columns, parts), strict=True)))
    end = found.address + found.size + numpy.uint64(rules.header_bytes)
    order = _list_order(heap, found, end, numpy)
    if order is None:
        return None
    if isinstance(order, slice) and order == slice(0, len(found.address)):
        blocks, ends = found, end
    else:
        blocks, ends = found.at(order), end[order]
    return _judge(blocks, ends, rules, numpy)


def _columns(headers: _Headers) -> tuple[Any, ...]:
    return tuple(getattr(headers, name) for name in headers.__slots__)


def _headers(start: int, data: bytes, profile: HeapProfile, numpy: ModuleType) -> _Headers:
    """Every 16-byte place of a chunk whose magic is one of the two."""
    rules, members = profile.rules, profile.block.members
    words = numpy.frombuffer(data, dtype="<u8", count=len(data) // 8)
    word = {role: member.offset_bytes // 8 for role, member in members.items()}
    places = max(0, (len(data) - rules.header_bytes) // 16 + 1)
    magics = words[word["magic"] :: 2][:places]
    at = numpy.flatnonzero(
        (magics == numpy.uint64(rules.magic_free)) | (magics == numpy.uint64(rules.magic_used))
    )
    twice = at * 2
    states = numpy.frombuffer(data, dtype="u1")[at * 16 + members["is_free"].offset_bytes]
    return _Headers(
        at.astype("<u8") * numpy.uint64(16) + numpy.uint64(start),
        words[twice + word["size"]],
        states,
        words[twice + word["next"]],
        words[twice + word["prev"]],
        magics[at],
        numpy.full(len(at), start + len(data), dtype="<u8"),
    )


def _list_order(heap: Heap, found: _Headers, end: Any, numpy: ModuleType) -> Any:
    """The headers of the list, in its order, as an index; None when it does not lead from head to null."""
    address, count = found.address, len(found.address)
    first = int(numpy.searchsorted(address, numpy.uint64(heap.first_block)))
    if first == count or address[first] != heap.first_block or found.prev[first]:
        return None
    # Where the next header in memory is the next of the list as well; elsewhere a stretch ends.
    goes_on = (found.next[:-1] == address[1:]) & (found.prev[1:] == address[:-1]) & (end[:-1] == address[1:])
    lasts = numpy.append(numpy.flatnonzero(~goes_on), count - 1)
    after = found.next[lasts]
    to = numpy.minimum(numpy.searchsorted(address, after), count - 1)
    edge = (end[lasts] | after) & numpy.uint64(PAGE_BYTES - 1) == 0
    leads = (address[to] == after) & (found.prev[to] == address[lasts]) & ((end[lasts] == after) | edge)
    stretch_of = numpy.searchsorted(lasts, to).tolist()
    targets, leading, final = to.tolist(), leads.tolist(), (after == 0).tolist()
    stretch = int(numpy.searchsorted(lasts, first))
    starts, taken, at = [], [], first
    # A stretch is entered at its first header only: any other has its predecessor inside.
    for _ in range(len(lasts)):
        starts.append(at)
        taken.append(stretch)
        if final[stretch]:
            return _indices(starts, lasts[taken], numpy)
        if not leading[stretch]:
            return None
        at, stretch = targets[stretch], stretch_of[stretch]
    return None


def _indices(starts: list[int], lasts: Any, numpy: ModuleType) -> Any:
    """All numbers of the stretches [start, last], one after the other."""
    if len(starts) == 1:
        return slice(starts[0], int(lasts[0]) + 1)
    begin = numpy.array(starts)
    lengths = lasts - begin + 1
    before = numpy.cumsum(lengths) - lengths
    return numpy.arange(int(lengths.sum())) + numpy.repeat(begin - before, lengths)


def _judge(blocks: _Headers, ends: Any, rules: HeapRules, numpy: ModuleType) -> SoundHeap | None:
    """Every block by itself and beside its neighbours; that the links are right is known."""
    free = blocks.magic == numpy.uint64(rules.magic_free)
    sizes = blocks.size
    touches = ends[:-1] == blocks.address[1:]
    sound = (
        numpy.array_equal(blocks.is_free, free)
        and not (sizes & numpy.uint64(15)).any()
        and bool((sizes >= rules.minimum_bytes).all())
        and bool((sizes <= blocks.limit - blocks.address).all())  # so no end wraps
        and bool((ends <= blocks.limit).all())
        and not (touches & free[:-1] & free[1:]).any()
    )
    if not sound or int(ends[-1]) % PAGE_BYTES:
        return None
    edges = numpy.flatnonzero(~touches)
    region_ends = [*ends[edges].tolist(), int(ends[-1])]
    region_starts = [int(blocks.address[0]), *blocks.address[edges + 1].tolist()]
    free_sizes = sizes[free]
    free_bytes, free_count = int(free_sizes.sum()), len(free_sizes)
    return SoundHeap(
        len(sizes) - free_count,
        free_count,
        int(sizes.sum()) - free_bytes,
        free_bytes,
        int(free_sizes.max()) if free_count else 0,
        tuple(zip(region_starts, region_ends, strict=True)),
    )
