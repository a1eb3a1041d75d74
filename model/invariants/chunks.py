"""Invariants of a heap with boundary tags: chunks that tile an arena, free ones linked into bins.

Allocators in the manner of dlmalloc keep it so (docs/profiles.md, scheme `boundary_tags`). A chunk's state
stands in up to four places; where they disagree the majority decides, and the odd one out is the violation.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Final

from model.invariants.base import Invariant, Verdict, Violation
from model.records import Arena, Bin, Chunk, ChunkRules
from model.types import VirtualAddress, is_aligned

SIZE: Final = Invariant(
    "chunks.size", "chunk + size = next chunk, or the end of the arena", "chunks tile their arena"
)
FLAGS: Final = Invariant(
    "chunks.flags",
    "the flags of a size say whether this chunk and the one before are used, and nothing else",
    "malloc and free set them with each change of a state",
)
PREV_SIZE: Final = Invariant(
    "chunks.prev_size",
    "behind a free chunk, prev_size = its size",
    "free writes the boundary tag, by which the chunk behind finds it",
)
UNMERGED: Final = Invariant(
    "chunks.unmerged", "no two chunks that touch are both free, top counted", "free coalesces on both sides"
)
BINNED: Final = Invariant("chunks.binned", "a free chunk is in a bin, top is in none", "free links it in")
MEMBER: Final = Invariant("chunks.member", "what is in a bin is a free chunk", "malloc takes it out first")
FD: Final = Invariant("chunks.fd", "fd is the chunk that follows in the bin", "bins are rings")
BK: Final = Invariant("chunks.bk", "bk is the chunk before in the bin", "bins are rings")
TOP: Final = Invariant(
    "chunks.top", "top is the chunk that ends with the arena", "the arena is cut from its end"
)
USED_BYTES: Final = Invariant("chunks.used_bytes", "the counter = sum of the sizes of used chunks", "always")
USED_CHUNKS: Final = Invariant("chunks.used_chunks", "the counter = number of used chunks", "always")

PER_CHUNK: Final = (SIZE, FLAGS, PREV_SIZE, UNMERGED, BINNED, MEMBER, FD, BK)
PER_ARENA: Final = (TOP, USED_BYTES, USED_CHUNKS)
ALL: Final = (*PER_CHUNK, *PER_ARENA)

Ring = tuple[Bin, Sequence[VirtualAddress | None]]
"""A bin and what is in it, in the order of fd; None where members cannot be read."""
Gaps = Mapping[int, VirtualAddress]
"""Where chunks cannot be read, ascending: index of the first one behind → end of the last one in front."""
NO_GAPS: Final[Gaps] = {}


def check_arena(
    arena: Arena,
    chunks: Sequence[Chunk],
    rings: Sequence[Ring],
    rules: ChunkRules,
    *,
    complete: bool = True,
    gaps: Gaps = NO_GAPS,
) -> Verdict:
    """Judge an arena: `chunks` in order of address, damaged ones with their raw values.

    `complete`: the last chunk is the last of the arena. Nothing is judged across `gaps`.
    """
    verdict = Verdict(evaluated=len(PER_CHUNK) * len(chunks))
    members = {address for _, ring in rings for address in ring}
    sizes = _sizes(arena, chunks, complete, gaps)
    free = states(arena, chunks, rings, rules, complete=complete, gaps=gaps)
    for index, chunk in enumerate(chunks):
        touches = index > 0 and index not in gaps
        before = free[index - 1] if touches else None if index in gaps else False
        _check_word(chunk, sizes[index], before, free[index], chunk.address == arena.top, rules, verdict)
        if touches and free[index - 1]:
            _check_behind_free(chunks[index - 1], sizes[index - 1], chunk, free[index], verdict)
        _check_binned(chunk, arena, free[index], members, verdict)
    used = {chunk.address for chunk, is_free in zip(chunks, free, strict=True) if not is_free}
    _check_rings(arena, chunks, rings, used, gaps, verdict)
    _check_arena(arena, chunks, sizes, free, verdict, complete=complete and not gaps)
    return verdict


def unknown(
    arena: Arena, chunks: Sequence[Chunk], gaps: Gaps
) -> Iterator[tuple[VirtualAddress, VirtualAddress]]:
    """Addresses [start, end) of the gaps."""
    for index, start in gaps.items():
        yield start, chunks[index].address if index < len(chunks) else arena.end


def is_plausible(chunk: Chunk, arena: Arena, rules: ChunkRules) -> bool:
    """Whether the size field alone could be true: flags that exist, a size that ends in the arena."""
    size = chunk.size & rules.size_mask
    known = not chunk.size & ~(rules.size_mask | rules.flags)
    least = rules.alignment_bytes if chunk.address == arena.top else rules.minimum_bytes
    inside = chunk.address + size <= arena.end
    return known and size >= least and is_aligned(size, rules.alignment_bytes) and inside


def states(
    arena: Arena,
    chunks: Sequence[Chunk],
    rings: Sequence[Ring],
    rules: ChunkRules,
    *,
    complete: bool = True,
    gaps: Gaps = NO_GAPS,
) -> list[bool]:
    """For every chunk whether it is free: by its own flag, the next one's, its bin, and its boundary tag.

    Flags count double: bins and tags may be left over from before. A flag in a size that cannot be true says
    nothing, nor does what lies behind a gap. Top is neither free nor used: here it counts as free.
    """
    found = []
    members = {address for _, ring in rings for address in ring}
    sizes = _sizes(arena, chunks, complete, gaps)
    for index, chunk in enumerate(chunks):
        if chunk.address == arena.top:
            found.append(True)
            continue
        in_no_bin = 0 if None in members else -1  # where some cannot be read, it may be one of them
        votes = 1 if chunk.address in members else in_no_bin
        own = sizes[index] in (None, chunk.size & rules.size_mask) and is_plausible(chunk, arena, rules)
        if rules.in_use and own:
            votes += -2 if chunk.size & rules.in_use else 2
        if index + 1 < len(chunks) and index + 1 not in gaps:
            behind = chunks[index + 1]
            if is_plausible(behind, arena, rules):
                votes += -2 if behind.size & rules.prev_in_use else 2
            votes += 1 if behind.prev_size == sizes[index] else -1
        found.append(votes > 0)
    return found


def _sizes(arena: Arena, chunks: Sequence[Chunk], complete: bool, gaps: Gaps) -> list[int | None]:
    """The size of every chunk, by where the next one begins; None where that is not known."""
    ends = [*(chunk.address for chunk in chunks[1:]), arena.end if complete else None]
    return [
        None if end is None or index in gaps else end - chunk.address
        for index, (chunk, end) in enumerate(zip(chunks, ends, strict=False), start=1)
    ]


def _check_word(
    chunk: Chunk,
    size: int | None,
    before_is_free: bool | None,
    is_free: bool,
    is_top: bool,
    rules: ChunkRules,
    verdict: Verdict,
) -> None:
    """The size field as a whole: the size, the flag of the chunk before, its own flag.

    None are a size and a chunk before that are not known.
    """
    if size is None:
        return
    before_flag = (
        chunk.size & rules.prev_in_use
        if before_is_free is None
        else 0
        if before_is_free
        else rules.prev_in_use
    )
    expected = size | before_flag | (0 if is_free else rules.in_use)
    if chunk.size & rules.size_mask != size:
        because = f"the next chunk is at {chunk.address + size:#x}"
        verdict.violations.append(Violation(SIZE, chunk.address, "size", chunk.size, expected, because))
        return
    expected |= chunk.size & rules.other_flags
    if chunk.size != expected:
        state, before = ("free" if is_free else "used"), ("free" if before_is_free else "used")
        because = f"this chunk is {'top' if is_top else state}, the one before is {before}"
        verdict.violations.append(Violation(FLAGS, chunk.address, "size", chunk.size, expected, because))


def _check_behind_free(
    chunk: Chunk, size: int | None, behind: Chunk, behind_is_free: bool, verdict: Verdict
) -> None:
    if size is not None and behind.prev_size != size:
        because = f"the chunk before, {chunk.address:#x}, is free and has {size:#x} bytes"
        verdict.violations.append(
            Violation(PREV_SIZE, behind.address, "prev_size", behind.prev_size, size, because)
        )
    if behind_is_free:
        because = f"{chunk.address:#x} ends here and is free too"
        verdict.violations.append(Violation(UNMERGED, behind.address, "size", behind.size, None, because))


def _check_binned(
    chunk: Chunk,
    arena: Arena,
    is_free: bool,
    members: Collection[VirtualAddress | None],
    verdict: Verdict,
) -> None:
    """Whether a free chunk is in a bin and a used one in none; not where what is in a bin cannot be read."""
    is_member = chunk.address in members
    if chunk.address == arena.top:
        if is_member:
            because = "it is top"
            verdict.violations.append(Violation(BINNED, chunk.address, "fd", chunk.fd, None, because))
    elif is_free and not is_member and None not in members:
        because = "it is free by its flags, and no bin leads to it"
        verdict.violations.append(Violation(BINNED, chunk.address, "fd", chunk.fd, None, because))
    elif is_member and not is_free:
        because = "it is used by its flags: two owners may have it soon"
        verdict.violations.append(Violation(MEMBER, chunk.address, "fd", chunk.fd, None, because))


def _check_rings(
    arena: Arena,
    chunks: Sequence[Chunk],
    rings: Sequence[Ring],
    used: set[VirtualAddress],
    gaps: Gaps,
    verdict: Verdict,
) -> None:
    """Every pair of neighbours in every bin, the head counted: each leads to the other.

    What a used chunk has there is its owner's. Beside members that cannot be read a link leads into a gap.
    """
    known: Mapping[int | None, Chunk | None] = {None: None} | {chunk.address: chunk for chunk in chunks}
    lost = list(unknown(arena, chunks, gaps))

    def leads_nowhere(node: Chunk | Bin, field: str, link: VirtualAddress, rule: Invariant) -> None:
        if _address(node) not in used and not any(start <= link < end for start, end in lost):
            because = "no chunk is there, nor a gap"
            verdict.violations.append(Violation(rule, _address(node), field, link, None, because))

    for one, ring in rings:
        around = [one, *(known[address] for address in ring if address in known), one]
        for first, second in pairwise(around):
            if first is None or second is None:
                if first is not None:
                    leads_nowhere(first, "fd", first.fd, FD)
                if second is not None:
                    leads_nowhere(second, "bk", second.bk, BK)
                continue
            here, there = _address(first), _address(second)
            if first.fd != there and here not in used:
                verdict.violations.append(
                    Violation(FD, here, "fd", first.fd, there, f"{there:#x} follows in bin {one.head:#x}")
                )
            if second.bk != here and there not in used:
                verdict.violations.append(
                    Violation(
                        BK, there, "bk", second.bk, here, f"{here:#x} comes before in bin {one.head:#x}"
                    )
                )


def _address(node: Chunk | Bin) -> VirtualAddress:
    return node.head if isinstance(node, Bin) else node.address


def _check_arena(
    arena: Arena,
    chunks: Sequence[Chunk],
    sizes: Sequence[int | None],
    free: Sequence[bool],
    verdict: Verdict,
    *,
    complete: bool,
) -> None:
    """Top and the counters; what is a sum over all chunks needs all of them."""
    counters = ((USED_BYTES, arena.used_bytes), (USED_CHUNKS, arena.used_chunks))
    unkept = {rule for rule, _ in counters if rule.id.removeprefix("chunks.") in arena.unkept}
    verdict.unkept += [(rule, rule.id.removeprefix("chunks.")) for rule, _ in counters if rule in unkept]
    if not complete:
        verdict.unchecked += [(rule, "not all chunks are known") for rule in PER_ARENA if rule not in unkept]
        return
    verdict.evaluated += 1
    last = chunks[-1].address if chunks else arena.start
    if arena.top != last:
        because = "the last chunk of the arena is there"
        verdict.violations.append(Violation(TOP, arena.address, "top", arena.top, last, because))
        verdict.unchecked += [(rule, "top is unknown") for rule, _ in counters if rule not in unkept]
        return
    used = [size or 0 for size, is_free in zip(sizes, free, strict=True) if not is_free]
    for (rule, found), expected in zip(counters, (sum(used), len(used)), strict=True):
        if rule in unkept:
            continue
        verdict.evaluated += 1
        if found != expected:
            name, because = rule.id.removeprefix("chunks."), f"{len(used)} chunks are used"
            verdict.violations.append(Violation(rule, arena.address, name, found, expected, because))
