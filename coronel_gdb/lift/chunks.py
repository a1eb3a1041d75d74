"""A heap with boundary tags as records: every chunk by address, past damage, and what is in each bin.

Chunks are followed by their sizes. Where a size does not lead to a chunk that agrees with it, the true
successor is looked for: the nearest place behind from which sizes and flags lead on for several chunks, or to
the end of the arena. Bins are followed both ways, so that one smashed link costs no member.

Where the target does not have the memory of a header, the chunks have a gap: behind it the next one counts
that a bin proves. What looks like a chunk before that one can be what an older one left behind.
"""

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from coronel_gdb.errors import KernelError
from coronel_gdb.lift.bins import proved_by_bins, rings
from coronel_gdb.lift.image import Image
from coronel_gdb.lift.pointer import located
from coronel_gdb.lift.space import AddressSpace
from coronel_gdb.profiles.schema import Section
from coronel_gdb.protocols import Target
from model.invariants.base import Verdict
from model.invariants.chunks import (
    BINNED,
    MEMBER,
    UNMERGED,
    Ring,
    check_arena,
    is_plausible,
    states,
    unknown,
)
from model.records import Arena, Bin, Chunk, ChunkRules
from model.types import U64_MASK, VirtualAddress, align_up, is_aligned

_LED_ON = 8  # so many chunks in a row that agree with one another are no accident
_SEARCHED_BYTES = 4 << 20  # behind a damaged size; a chunk that is larger is not looked past
_MOST_SEARCHES = 200  # each is a pass over that; more damage than this is not worth minutes
_PAIR_BYTES = 16
_MOST_PLACES = 4  # behind one damaged size; they are nearly always right or left over
_MOST_DOUBTS = 8  # each is a walk over all chunks

_Doubt = tuple[VirtualAddress, VirtualAddress]
"""A chunk, and where the next one can be instead of where its size says."""


@dataclass(frozen=True, slots=True)
class ChunkFields:
    """Where a chunk's fields lie, in bytes from its address."""

    prev_size: int
    size: int
    fd: int
    bk: int

    @property
    def end(self) -> int:
        """Behind the last one of them."""
        return max(self.prev_size, self.size, self.fd, self.bk) + 8


@dataclass
class LiftedArena:
    """The arena, its chunks in order of address, the bytes they were read from, and the bins' members.

    `searched` are the chunks that no size leads to. `end` says why the last chunk is the last: None when the
    arena ends there. `gaps` are the places where the target does not have the memory of the next header.
    """

    arena: Arena
    image: Image
    rules: ChunkRules
    fields: ChunkFields
    chunks: list[Chunk] = field(default_factory=list)
    searched: set[VirtualAddress] = field(default_factory=set)
    end: str | None = None
    rings: list[Ring] = field(default_factory=list)
    gaps: dict[int, VirtualAddress] = field(default_factory=dict)

    def verdict(self) -> Verdict:
        """The arena against all its invariants."""
        return check_arena(
            self.arena, self.chunks, self.rings, self.rules, complete=self.end is None, gaps=self.gaps
        )

    def free(self) -> list[bool]:
        """For every chunk whether it is free, or top."""
        complete = self.end is None
        return states(self.arena, self.chunks, self.rings, self.rules, complete=complete, gaps=self.gaps)

    def size_of(self, index: int) -> int:
        """Bytes of a chunk, by where the next one begins; 0 where that is not known."""
        if index + 1 in self.gaps:
            return self.gaps[index + 1] - self.chunks[index].address
        if index + 1 < len(self.chunks):
            return self.chunks[index + 1].address - self.chunks[index].address
        return self.arena.end - self.chunks[index].address if self.end is None else 0

    def unknown(self) -> list[tuple[VirtualAddress, VirtualAddress]]:
        """Addresses [start, end) of the gaps."""
        return list(unknown(self.arena, self.chunks, self.gaps))

    def is_lost(self, address: int) -> bool:
        """Whether a chunk there has a header that the target does not have, or not all of it."""
        end = min(address + self.fields.end, self.arena.end)
        beyond = end > self.image.end  # more than is read at once
        return beyond or self.image.lacks(address, end)


def rules_of(section: Section) -> ChunkRules:
    """The kernel's own bits and numbers; `KernelError` for some that cannot be."""
    numbers = section.numbers
    rules = ChunkRules(
        size_mask=U64_MASK & ~numbers["flag_bits"],
        prev_in_use=numbers["prev_in_use"],
        in_use=numbers.get("in_use", 0),
        other_flags=numbers.get("other_flags", 0),
        alignment_bytes=numbers["alignment_bytes"],
        minimum_bytes=numbers["minimum_bytes"],
    )
    alignment = rules.alignment_bytes
    for key, right in (
        ("flag_bits", not rules.flags & rules.size_mask),
        ("prev_in_use", rules.prev_in_use),
        ("alignment_bytes", alignment and not alignment & (alignment - 1)),
        ("minimum_bytes", rules.minimum_bytes and is_aligned(rules.minimum_bytes, max(alignment, 1))),
    ):
        if not right:
            raise KernelError(
                f"profile {section.profile}: heap.{key} {numbers[key]:#x} does not fit the others"
            )
    return rules


def read_arena(target: Target, space: AddressSpace, section: Section) -> Arena:
    """The arena's own fields and the heads of its bins; `KernelError` when nothing says where it ends."""
    holder, chunk = section.structures["type"], section.structures["chunk"]
    address = located(target, space, section, "kernel heap")
    data = space.read(address, holder.size_bytes)
    values = holder.decode(data)
    if "end" not in values and "bytes" not in values:
        raise KernelError(f"profile {section.profile} names neither heap.fields.end nor heap.fields.bytes")
    start = values["start"]
    heads, first = holder.array(data, "bins"), address + holder.offset("bins") - chunk.offset("fd")
    pairs = zip(heads[::2], heads[1::2], strict=False)
    return Arena(
        address=address,
        start=VirtualAddress(start),
        end=VirtualAddress(values.get("end", (start + values.get("bytes", 0)) & U64_MASK)),
        top=VirtualAddress(values["top"]),
        bins=tuple(
            Bin(VirtualAddress(first + index * _PAIR_BYTES), VirtualAddress(fd), VirtualAddress(bk))
            for index, (fd, bk) in enumerate(pairs)
        ),
        used_bytes=values.get("used_bytes", 0),
        used_chunks=values.get("used_chunks", 0),
        locked=values.get("locked", 0),
        unkept=holder.unnamed({"used_bytes", "used_chunks"}),
    )


def fields_of(section: Section) -> ChunkFields:
    """Where a chunk's fields lie."""
    offset = section.structures["chunk"].offset
    return ChunkFields(offset("prev_size"), offset("size"), offset("fd"), offset("bk"))


def follow_arena(space: AddressSpace, arena: Arena, rules: ChunkRules, fields: ChunkFields) -> LiftedArena:
    """Read all chunks and bins; what cannot be read is a hole of the image, never a failure."""
    image = Image(space, arena.start, arena.end)
    best, doubts = _lifted(LiftedArena(arena, image, rules, fields), {})
    chosen: dict[int, VirtualAddress] = {}
    # A size that can be true, and a header behind it that cannot: one of both is wrong. Fewer faults decide.
    for at, instead in doubts[:_MOST_DOUBTS]:
        other, _ = _lifted(LiftedArena(arena, image, rules, fields), {**chosen, at: instead})
        if _faults(other) < _faults(best):
            best, chosen[at] = other, instead
    return best


def _lifted(lifted: LiftedArena, instead: Mapping[int, VirtualAddress]) -> tuple[LiftedArena, list[_Doubt]]:
    """The arena walked with these successors instead of what sizes say, and what could be otherwise."""
    walker = _Walker(lifted, instead)
    walker.run()
    lifted.rings = list(rings(lifted.arena.bins, lifted.chunks, lifted.unknown()))
    return lifted, walker.doubts


def _faults(lifted: LiftedArena) -> tuple[bool, int, int]:
    """Lower is likelier: few places that are damaged, and few chunks whose state and bins disagree."""
    violations = lifted.verdict().violations
    contradictions = sum(violation.invariant in (BINNED, MEMBER, UNMERGED) for violation in violations)
    return lifted.end is not None, len({violation.subject for violation in violations}), contradictions


class _Walker:
    """Follows sizes, and finds the way on where one is wrong; every address is visited once."""

    def __init__(self, lifted: LiftedArena, instead: Mapping[int, VirtualAddress]) -> None:
        self.lifted = lifted
        self.arena, self.rules = lifted.arena, lifted.rules
        self.instead = instead
        self.doubts: list[_Doubt] = []
        self.searches = 0

    def run(self) -> None:
        lifted, at = self.lifted, self.arena.start
        before: Chunk | None = None
        if at >= self.arena.end:
            lifted.end = f"nothing lies between the arena's start {at:#x} and its end {self.arena.end:#x}"
        while at < self.arena.end:
            chunk = self.chunk_at(at)
            if chunk is None and lifted.is_lost(at):
                lifted.gaps[len(lifted.chunks)] = at
                at, before = self.behind(at), None
                continue
            if chunk is None:
                lifted.end = f"no chunk can be read at {at:#x}"
                return
            lifted.chunks.append(chunk)
            found = self.successor(chunk, before)
            if found is None:
                lifted.end = f"nothing leads on from chunk {chunk.address:#x}"
                return
            at, before = found, chunk
            if at != self.end_of(chunk):
                lifted.searched.add(at)

    def behind(self, address: VirtualAddress) -> VirtualAddress:
        """The first chunk behind an address that is one for certain; the arena's end when there is none."""
        index = bisect_right(self.proved, address)
        return self.proved[index] if index < len(self.proved) else self.arena.end

    @cached_property
    def proved(self) -> list[VirtualAddress]:
        """The chunks that a bin leads to and that lead back, and top, ascending."""
        found = proved_by_bins(self.arena.bins, self.chunk_at, self.rules)
        top = self.chunk_at(self.arena.top)
        if top is not None and self.end_of(top) == self.arena.end:
            found.add(top.address)
        return sorted(at for at in found if self.arena.start <= at < self.arena.end)

    def chunk_at(self, address: int) -> Chunk | None:
        """The chunk there, None when none can lie there or it was not read."""
        fields, image = self.lifted.fields, self.lifted.image
        data = image.bytes_at(address, fields.end)
        if data is None:
            head = max(fields.prev_size, fields.size) + 8
            # Top may be too small for links; else they are there, and were not read.
            data = image.bytes_at(address, head) if address + fields.end > self.arena.end else None
            if data is None:
                return None
            data += bytes(fields.end - len(data))
        values = (
            int.from_bytes(data[at : at + 8], "little")
            for at in (fields.prev_size, fields.size, fields.fd, fields.bk)
        )
        prev_size, size, fd, bk = values
        return Chunk(VirtualAddress(address), prev_size, size, VirtualAddress(fd), VirtualAddress(bk))

    def end_of(self, chunk: Chunk) -> VirtualAddress | None:
        """Where the chunk ends by its own size, None when that cannot be true."""
        if not is_plausible(chunk, self.arena, self.rules):
            return None
        return VirtualAddress(chunk.address + (chunk.size & self.rules.size_mask))

    def agrees(self, chunk: Chunk, end: VirtualAddress) -> bool:
        """Whether what lies at a chunk's end takes it for what it says it is."""
        if end == self.arena.end:
            return True
        behind = self.chunk_at(end)
        if behind is None or not is_plausible(behind, self.arena, self.rules):
            return False
        says_used = bool(behind.size & self.rules.prev_in_use)
        if self.rules.in_use:
            # Top has no state of its own; nothing lies behind it either.
            return says_used == bool(chunk.size & self.rules.in_use)
        return says_used or behind.prev_size == chunk.size & self.rules.size_mask

    def successor(self, chunk: Chunk, before: Chunk | None) -> VirtualAddress | None:
        """Where the next chunk begins: by the size, unless that leads nowhere and another place leads on."""
        if chunk.address in self.instead:
            return self.instead[chunk.address]
        end = self.end_of(chunk)
        if end is not None and (end == self.arena.end or self.lifted.is_lost(end) or self.agrees(chunk, end)):
            return end
        if chunk.address == self.arena.top:
            return self.arena.end
        believed = end is not None and (before is None or self.agrees(before, chunk.address))
        # With a size that can be believed only what is inside the chunk may speak against it.
        places = self.search(chunk, end if believed and end else self.arena.end)
        if end is not None and not places:
            beyond = self.search(chunk, self.arena.end)[:1] if believed else []
            # Too near, and there is no chunk in between. Else the one behind is the damaged one.
            near = bool(beyond) and beyond[0] - end < self.rules.minimum_bytes
            places = [*beyond, end] if near else [end, *beyond]
        elif end is not None:
            places.append(end)
        self.doubts += [(chunk.address, place) for place in places[1:]]
        return places[0] if places else None

    def search(self, chunk: Chunk, limit: VirtualAddress) -> list[VirtualAddress]:
        """The places in (chunk, limit) from which chunks lead on, those first that spare most of the size.

        What runs over the edge of the chunk before overwrites the low bytes of this size first. Headers that
        are left over from before lead on as well; they mostly take what is in front of them for free, and it
        is in no bin.
        """
        self.searches += 1
        found_size = chunk.size & self.rules.size_mask
        first = align_up(chunk.address + self.rules.minimum_bytes, self.rules.alignment_bytes)
        limit = VirtualAddress(min(limit, first + _SEARCHED_BYTES))
        found: list[tuple[bool, int, VirtualAddress]] = []
        least = 8
        for at in range(
            first, limit if self.searches <= _MOST_SEARCHES else first, self.rules.alignment_bytes
        ):
            if at - chunk.address > found_size | (1 << 8 * least) - 1:
                break  # from here on more bytes of the size differ
            if self.leads_on(VirtualAddress(at)):
                left_over = self.is_left_over(VirtualAddress(at), chunk)
                changed = ((found_size ^ (at - chunk.address)).bit_length() + 7) // 8
                found.append((left_over, changed, VirtualAddress(at)))
                least = least if left_over else min(least, changed)
        return [at for _, _, at in sorted(found)[:_MOST_PLACES]]

    def is_left_over(self, address: VirtualAddress, before: Chunk) -> bool:
        """Whether the header there takes the chunk before for a free one that it cannot be."""
        chunk = self.chunk_at(address)
        if chunk is None or chunk.size & self.rules.prev_in_use:
            return False
        return chunk.prev_size != address - before.address or not self.is_linked(before)

    def is_linked(self, chunk: Chunk) -> bool:
        """Whether anything in a bin has the chunk for a neighbour."""
        heads = {one.head: (one.fd, one.bk) for one in self.arena.bins}
        following, preceding = self.chunk_at(chunk.fd), self.chunk_at(chunk.bk)
        by_next = following.bk if following is not None else heads.get(chunk.fd, (0, 0))[1]
        by_previous = preceding.fd if preceding is not None else heads.get(chunk.bk, (0, 0))[0]
        return chunk.address in (by_next, by_previous) or any(
            chunk.address in (one.fd, one.bk) for one in self.arena.bins
        )

    def leads_on(self, address: VirtualAddress) -> bool:
        """Whether chunks that agree with one another begin there, several or up to the arena's end."""
        for _ in range(_LED_ON):
            chunk = self.chunk_at(address)
            end = None if chunk is None else self.end_of(chunk)
            if chunk is None or end is None:
                return False
            if end == self.arena.end:
                return chunk.address == self.arena.top
            if not self.agrees(chunk, end):
                return False
            address = end
        return True
