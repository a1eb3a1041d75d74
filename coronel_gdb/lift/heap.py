"""The kernel heap as records: every block, in list order, past damage wherever something still points on.

The list is followed through `next`. Where a block's own fields no longer lead on, the true successor is
looked for by geometry (the header where this block ends), by its back link (the header whose `prev` is
this block) and last by its magic; stale headers inside merged free blocks are told apart because their
own successor does not point back to them.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import Enum
from heapq import merge

from coronel_gdb.lift.extent import farthest_end, reached_from
from coronel_gdb.lift.image import Image
from coronel_gdb.lift.pointer import located
from coronel_gdb.lift.sound_heap import SoundHeap, blocks_of, prove
from coronel_gdb.lift.space import AddressSpace
from coronel_gdb.profiles.schema import HeapProfile
from coronel_gdb.protocols import Target
from model.invariants.base import Verdict
from model.invariants.heap import check_heap, sound_verdict
from model.records import Heap, HeapBlock, HeapRules
from model.types import PAGE_BYTES, VirtualAddress, is_aligned

_MOST_REGIONS = 64  # found one by one behind damage; each costs a reading of the heap
_MOST_SEARCHES = 1000  # each is a pass over the heap's bytes; more damage than this is not worth minutes


class Discovery(Enum):
    """What led to a block."""

    LIST = "list"
    GEOMETRY = "geometry"
    BACK_LINK = "back link"
    MAGIC = "magic"


@dataclass(slots=True)
class LiftedHeap:
    """The heap object, its blocks in true order, how each was found, and the bytes they were read from.

    `end` says why the last block is the last: None when the list ended as it should. A heap that was proved
    in bulk has `sound` and no blocks one by one; `all_blocks` has them in either case. `memory_end` is where
    the heap's memory ends in a kernel whose heap object does not say so.
    """

    heap: Heap
    image: Image
    blocks: list[HeapBlock] = field(default_factory=list)
    found_by: list[Discovery] = field(default_factory=list)
    end: str | None = None
    sound: SoundHeap | None = None
    memory_end: int | None = None

    @property
    def count(self) -> int:
        """How many blocks there are."""
        return self.sound.count if self.sound else len(self.blocks)

    def all_blocks(self, profile: HeapProfile) -> Iterable[HeapBlock]:
        """Every block in true order."""
        return blocks_of(self.heap, self.image, profile) if self.sound else self.blocks

    def is_sound(self, profile: HeapProfile) -> bool:
        """Whether nothing of it is damaged, so that every block is known for certain."""
        return self.sound is not None or (self.end is None and not self.verdict(profile).violations)

    def extents(self, rules: HeapRules) -> list[tuple[int, int]]:
        """[start, end) of the memory that is the heap's, as its object says, or else as its blocks do."""
        if not rules.fixed_heap_end:
            return [(self.heap.heap_start, self.heap.heap_end)]
        found: list[tuple[int, int]] = []
        for block in self.blocks:
            start = int(block.address)
            end = min(start + rules.header_bytes + block.size_bytes, int(self.image.end))
            if found and found[-1][1] == start:
                start = found.pop()[0]
            found.append((start, end))
        return found

    def verdict(self, profile: HeapProfile) -> Verdict:
        """The heap against all its invariants."""
        if self.sound:
            return sound_verdict(self.sound.count)
        return check_heap(
            self.heap,
            self.blocks,
            profile.rules,
            complete=self.end is None,
            memory_end=self.memory_end,
            gaps=self.gaps,
        )

    @property
    def gaps(self) -> list[int]:
        """Indices of blocks before which others may lie in memory that the target does not have."""
        if not self.image.lacks(self.image.start, self.image.end):
            return []
        return [index for index in range(len(self.blocks) + 1) if self._is_gap(index)]

    def _is_gap(self, index: int) -> bool:
        before = self.blocks[index - 1] if index else None
        after = self.blocks[index] if index < len(self.blocks) else None
        if before is None:
            joined = after is not None and after.address == self.heap.first_block
        elif after is None:
            joined = self.end is None
        else:
            joined = before.next == after.address and after.prev == before.address
        start = before.address if before is not None else self.image.start
        end = after.address if after is not None else self.image.end
        low, high = (start, end) if start < end else (self.image.start, self.image.end)
        return not joined and self.image.lacks(low, high)


def lift_heap(space: AddressSpace, heap: Heap, profile: HeapProfile, *, careful: bool = True) -> LiftedHeap:
    """Read all blocks of a heap; what cannot be read is a hole of the image, never a failure.

    With `careful` off, a heap that is proved sound in bulk has no blocks one by one.
    """
    return follow_heap(space, heap, profile, careful=careful)


def follow_heap(
    space: AddressSpace,
    heap: Heap,
    profile: HeapProfile,
    *,
    blocks: int | None = None,
    careful: bool = False,
) -> LiftedHeap:
    """As `lift_heap`; a user heap says how many `blocks` it has instead of what is free (§15.3)."""
    if profile.rules.fixed_heap_end:
        return _without_end(space, heap, profile)
    start, end = heap.heap_start, heap.heap_end
    lifted = LiftedHeap(heap, Image(space, start, end if start <= end else start))
    if not careful:
        lifted.sound = prove(heap, lifted.image, profile, blocks)
    if lifted.sound is None:
        _Walker(lifted, profile).run()
    return lifted


def _without_end(space: AddressSpace, heap: Heap, profile: HeapProfile) -> LiftedHeap:
    """As `follow_heap`, where the heap object does not say how far its memory reaches.

    Behind damage the list may lead on to regions that were not known before: then it is followed again.
    """
    end = farthest_end(space, heap, profile)
    for _ in range(_MOST_REGIONS):
        lifted = LiftedHeap(heap, Image(space, heap.heap_start, VirtualAddress(max(end, heap.heap_start))))
        lifted.memory_end = int(lifted.image.end)
        _Walker(lifted, profile).run()
        farther = end
        if lifted.end is not None and lifted.blocks:
            farther = reached_from(lifted.blocks[-1], end, space, profile)
        if farther == end:
            break
        end = farther
    return lifted


def read_heap(target: Target, space: AddressSpace, profile: HeapProfile) -> Heap:
    """The heap object alone; `NotInitialised` when its pointer is null, `ReadFault` when it is unreadable."""
    address = located(target, space, profile.section, "kernel heap")
    data = space.read(address, profile.heap.size_bytes)
    values = profile.heap.decode(data)
    return Heap(
        address=address,
        heap_start=VirtualAddress(values["heap_start"]),
        heap_end=VirtualAddress(values["heap_end"]),
        heap_size=values["heap_size"],
        first_block=VirtualAddress(values["first_block"]),
        total_allocated=values.get("total_allocated", 0),
        total_free=values.get("total_free", 0),
        num_allocations=values.get("num_allocations", 0),
        num_frees=values.get("num_frees", 0),
        num_expansions=values.get("num_expansions", 0),
        errors=profile.heap.array(data, "errors"),
        locked=values.get("locked", 0),
        unkept=profile.heap.unnamed(Heap.__slots__),
    )


class _Walker:
    """Follows the list and finds the way on where a link is broken; every address is visited once."""

    def __init__(self, lifted: LiftedHeap, profile: HeapProfile) -> None:
        self.lifted = lifted
        self.image = lifted.image
        self.block = profile.block
        self.rules = profile.rules
        self.header = profile.rules.header_bytes
        self.seen: set[int] = set()
        self.covered_bytes = 0
        self.searches = 0

    def run(self) -> None:
        heap = self.lifted.heap
        at, how = int(heap.first_block), Discovery.LIST
        if not at and not heap.heap_size:
            return  # lazy expansion: no region yet
        if not self.begins_list(at) and (
            self.header_at(at) is None or self.begins_list(int(heap.heap_start))
        ):
            # A smashed first_block_; regions start with a header.
            at, how = int(heap.heap_start), Discovery.GEOMETRY
        while True:
            block = self.header_at(at)
            if block is None and self.is_lost(at):
                at, how = self.behind_lost(at)
                block = self.header_at(at)
            if block is None:
                self.lifted.end = f"no header can be read at {at:#x}"
                return
            self.seen.add(at)
            self.lifted.blocks.append(block)
            self.lifted.found_by.append(how)
            step = self.step(block)
            if step is None:
                return
            at, how = step
            self.covered_bytes += self.extent(block, at)

    def is_lost(self, address: int) -> bool:
        """Whether a header there lies in memory that the target does not have."""
        return self.image.lacks(address, address + self.header)

    def behind_lost(self, address: int) -> tuple[int, Discovery]:
        """The first header behind one that the target does not have; else the address itself.

        There no list leads to it: one counts that another one leads back to.
        """
        nowhere = VirtualAddress(0)
        found = self.by_magic(HeapBlock(VirtualAddress(address), 0, 0, nowhere, nowhere, 0), proved=True)
        return found or (address, Discovery.GEOMETRY)

    def begins_list(self, address: int) -> bool:
        """Whether an intact header lies there that nothing comes before."""
        block = self.header_at(address)
        return block is not None and self.has_magic(block) and not block.prev

    def header_at(self, address: int) -> HeapBlock | None:
        """The header there, None when no header can lie there or it was not read."""
        if not is_aligned(address, self.rules.alignment_bytes):
            return None
        chunk = self.image.chunk(address)
        if chunk is None or address + self.header > chunk[0] + len(chunk[1]):
            return None
        values = self.block.decode(chunk[1], address - chunk[0])
        return HeapBlock(
            VirtualAddress(address),
            values["size"],
            values["is_free"],
            VirtualAddress(values["next"]),
            VirtualAddress(values["prev"]),
            values["magic"],
        )

    def step(self, block: HeapBlock) -> tuple[int, Discovery] | None:
        """The true successor and what led to it; None at the end."""
        end = self.end_of(block)
        here = end - block.address if end else 0
        complete = self.covered_bytes + here >= self.lifted.heap.heap_size
        if block.next == 0 and complete:
            return None
        if block.next == end and (self.fresh(end) is not None or self.is_lost(end)):
            return block.next, Discovery.LIST
        by_list = self.fresh(block.next)
        if by_list and self.points_back(by_list, block):
            return by_list.address, Discovery.LIST
        by_geometry = self.fresh(end) if end else None
        if by_geometry and self.points_back(by_geometry, block):
            return by_geometry.address, Discovery.GEOMETRY
        if by_list and self.has_magic(by_list) and end and not (end | by_list.address) & (PAGE_BYTES - 1):
            return by_list.address, Discovery.LIST  # from one region to the next, the back link is damaged
        if complete:
            return None  # all of the heap is known: `next` is damaged, nothing follows
        for search in (self.by_successor, self.by_back_link, self.by_magic):
            found = search(block)
            if found is not None:
                return found
        rest = block.address + self.lifted.heap.heap_size - self.covered_bytes
        fills = block.address < rest <= self.image.end and is_aligned(rest, PAGE_BYTES)
        if block.next == 0:
            last = fills or end == self.lifted.heap.heap_end  # by the bytes left over, or by its own size
            if self.rules.fixed_heap_end and end is not None:
                last = last or is_aligned(
                    end, PAGE_BYTES
                )  # where a region may end: the size is what is wrong
            self.lifted.end = None if last else "the list ends before the heap does"
        elif not (fills and end is None and by_list is None):
            # Else size and next are both damaged, and what is left of the heap is just this block.
            self.lifted.end = f"nothing leads on from block {block.address:#x}"
        return None

    def end_of(self, block: HeapBlock) -> int | None:
        """Where the block ends by its own size, None when that size cannot be true."""
        end = block.address + self.header + block.size_bytes
        plausible = block.size_bytes >= self.rules.minimum_bytes and end <= self.image.end
        return end if plausible and is_aligned(block.size_bytes, self.rules.alignment_bytes) else None

    def fresh(self, address: int | None) -> HeapBlock | None:
        """The header there unless it was visited."""
        return None if address is None or address in self.seen else self.header_at(address)

    def has_magic(self, block: HeapBlock) -> bool:
        return block.magic in (self.rules.magic_free, self.rules.magic_used)

    def points_back(self, candidate: HeapBlock, block: HeapBlock) -> bool:
        return candidate.prev == block.address and self.has_magic(candidate)

    def leads_on(self, candidate: HeapBlock) -> bool:
        """Whether its own successor points back to it: a stale header's does not."""
        if candidate.next == 0:
            return True
        successor = self.header_at(candidate.next)
        return successor is not None and successor.prev == candidate.address

    def by_successor(self, block: HeapBlock) -> tuple[int, Discovery] | None:
        """A damaged header that is next in the list, or one by geometry without the way back.

        Either must lead on itself.
        """
        by_list = self.fresh(block.next)
        if by_list and by_list.prev == block.address and by_list.next and self.leads_on(by_list):
            return by_list.address, Discovery.LIST
        by_geometry = self.fresh(self.end_of(block))
        if by_geometry is None or not self.has_magic(by_geometry) or self.is_stale(by_geometry, block):
            return None
        leads = by_geometry.next and self.leads_on(by_geometry)
        return (by_geometry.address, Discovery.GEOMETRY) if leads else None

    def is_stale(self, candidate: HeapBlock, block: HeapBlock) -> bool:
        """Whether the candidate is what an absorbed block left behind: two free neighbours cannot be."""
        return candidate.magic == block.magic == self.rules.magic_free

    def by_back_link(self, block: HeapBlock) -> tuple[int, Discovery] | None:
        """A header whose `prev` is this block, one that leads on before one that does not."""
        pattern = block.address.to_bytes(8, "little")
        second: tuple[int, Discovery] | None = None
        for candidate in self.candidates(pattern, self.block.offset("prev"), block.address):
            if self.points_back(candidate, block) and not self.is_stale(candidate, block):
                if self.leads_on(candidate):
                    return candidate.address, Discovery.BACK_LINK
                second = second or (candidate.address, Discovery.BACK_LINK)
        return second

    def by_magic(self, block: HeapBlock, *, proved: bool = False) -> tuple[int, Discovery] | None:
        """The nearest intact header behind this block, or the damaged one that it says lies before it.

        A header whose links lead back to before this block is a stale one: there everything is known.
        """
        found = [
            self.candidates(*self.block.pattern("magic", magic), block.address)
            for magic in (self.rules.magic_used, self.rules.magic_free)
        ]
        for candidate in merge(*found, key=lambda header: header.address):
            if (
                candidate.address < block.address
                or not self.leads_on(candidate)
                or not self.end_of(candidate)
            ):
                continue
            if proved and not candidate.next:
                continue  # nothing leads back to it, as to many that were the last one before
            at = candidate
            while block.address < at.prev < at.address and (before := self.fresh(at.prev)) is not None:
                at = before  # damaged headers in between that an intact one still knows
            if not self.image.start <= at.prev < block.address:
                return at.address, Discovery.MAGIC if at is candidate else Discovery.BACK_LINK
        return None

    def extent(self, block: HeapBlock, successor: int) -> int:
        """The bytes between a block's start and its end, by its true successor where that is a neighbour."""
        end = self.end_of(block)
        at_edge = end is not None and not (end | successor) & (PAGE_BYTES - 1)
        if successor > block.address and not at_edge:
            return successor - block.address
        return end - block.address if end is not None else 0

    def candidates(self, pattern: bytes, offset: int, start: int) -> Iterator[HeapBlock]:
        """Unvisited headers that hold `pattern` at `offset`, from `start` upwards and then round."""
        self.searches += 1
        if self.searches > _MOST_SEARCHES:
            return
        for at in self.image.find(pattern, start):
            candidate = self.fresh(at - offset)
            if candidate is not None:
                yield candidate
