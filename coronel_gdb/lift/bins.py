"""The bins of a heap with boundary tags: which chunks are in them, as far as links lead."""

from collections.abc import Callable, Iterator, Mapping, Sequence

from model.invariants.chunks import Ring
from model.records import Bin, Chunk, ChunkRules
from model.types import VirtualAddress, is_aligned


def rings(
    bins: Sequence[Bin], chunks: Sequence[Chunk], gaps: Sequence[tuple[VirtualAddress, VirtualAddress]]
) -> Iterator[Ring]:
    """The members of every bin, in the order of fd, as far as either direction leads to them.

    None stands for those between two places where one direction leads into a gap and the other no farther.
    """
    known = {int(chunk.address): chunk for chunk in chunks}
    taken: set[int] = set()
    for one in bins:
        forwards, stop = _along(one, known, taken, forwards=True)
        backwards, back = _along(one, known, taken, forwards=False)
        met = set(forwards)
        rest = [address for address in reversed(backwards) if address not in met]
        taken.update(met, rest)
        is_cut = one.head not in (stop, back) and any(
            start <= at < end for at in (stop, back) for start, end in gaps
        )
        yield one, [*forwards, *[None] * is_cut, *rest]


def _along(
    one: Bin, known: Mapping[int, Chunk], taken: set[int], *, forwards: bool
) -> tuple[list[VirtualAddress], VirtualAddress]:
    """Chunks from the head on, until it comes again or a link leads to no chunk, or to one met before.

    Second that link.
    """
    found: dict[VirtualAddress, None] = {}
    at = one.fd if forwards else one.bk
    while at != one.head and at in known and at not in found and at not in taken:
        found[at] = None
        at = known[at].fd if forwards else known[at].bk
    return list(found), at


def proved_by_bins(
    bins: Sequence[Bin], chunk_at: Callable[[int], Chunk | None], rules: ChunkRules
) -> set[VirtualAddress]:
    """The members that lead back to the one before, from either end of every bin on."""
    return {
        at
        for one in bins
        for forwards in (True, False)
        for at in _led_back(one, chunk_at, rules.alignment_bytes, forwards=forwards)
    }


def _led_back(
    one: Bin, chunk_at: Callable[[int], Chunk | None], alignment_bytes: int, *, forwards: bool
) -> Iterator[VirtualAddress]:
    at, before, seen = one.fd if forwards else one.bk, one.head, set[int]()
    while at not in seen and is_aligned(at, alignment_bytes):
        chunk = chunk_at(at)
        if chunk is None or (chunk.bk if forwards else chunk.fd) != before:
            return
        yield at
        seen.add(at)
        at, before = chunk.fd if forwards else chunk.bk, at
