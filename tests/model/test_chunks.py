"""A heap with boundary tags: every invariant with a sound and a damaged arena."""

from dataclasses import replace
from typing import Any

import pytest

from model.invariants.chunks import ALL, check_arena
from model.records import Arena, Bin, Chunk, ChunkRules
from model.types import VirtualAddress

BASE = 0xFFFF_FFFF_8010_0000
PREV, USED = 1, 2
RULES = ChunkRules((1 << 64) - 16, PREV, USED, 0, 16, 32)
GLIBC = replace(RULES, in_use=0, other_flags=4)
"""As where a chunk has no flag of its own."""
SIZES = (64, 48, 96, 64, 32, 80, 128)
"""Of which the second and the fifth are free; the last is top."""
FREE = (1, 4)
HEAD = VirtualAddress(0xFFFF_FFFF_8000_0040)


Changes = dict[int, dict[str, Any]]


def address(index: int) -> VirtualAddress:
    return VirtualAddress(BASE + sum(SIZES[:index]))


def chunk(index: int, rules: ChunkRules = RULES) -> Chunk:
    own = rules.in_use if index not in FREE and index + 1 < len(SIZES) else 0
    before_is_free = index - 1 in FREE
    size = SIZES[index] | own | (0 if before_is_free else PREV)
    ring = [HEAD, *(address(free) for free in FREE), HEAD]
    at = FREE.index(index) + 1 if index in FREE else 0
    links = (ring[at + 1], ring[at - 1]) if at else (VirtualAddress(7), VirtualAddress(9))
    return Chunk(address(index), SIZES[index - 1] if before_is_free else 0x6E6E6E6E, size, *links)


CHUNKS = [chunk(index) for index in range(len(SIZES))]
BIN = Bin(HEAD, address(1), address(4))
ARENA = Arena(
    VirtualAddress(0x1000), address(0), VirtualAddress(BASE + sum(SIZES)), address(6), (BIN,), 304, 4, 0
)
MEMBERS = [address(1), address(4)]


def broken(
    changes: Changes | None = None,
    members: list[VirtualAddress] | None = None,
    rules: ChunkRules = RULES,
    **arena: Any,
) -> dict[tuple[str, int], int | None]:
    """(invariant, index of the chunk, −1 for anything else) → what is expected."""
    chunks = [chunk(index, rules) for index in range(len(SIZES))]
    for index, change in (changes or {}).items():
        chunks[index] = replace(chunks[index], **change)
    changed = replace(ARENA, **arena)
    ring = MEMBERS if members is None else members
    verdict = check_arena(changed, chunks, [(changed.bins[0], ring)], rules)
    where = {int(one.address): index for index, one in enumerate(chunks)}
    return {(v.invariant.id, where.get(v.subject, -1)): v.expected for v in verdict.violations}


@pytest.mark.parametrize("rules", [RULES, GLIBC], ids=["own flag", "no flag of its own"])
def test_a_sound_arena_breaks_none(rules: ChunkRules) -> None:
    assert broken(rules=rules) == {}
    verdict = check_arena(ARENA, CHUNKS, [(BIN, MEMBERS)], RULES)
    assert verdict.evaluated > len(ALL)
    assert (verdict.unchecked, verdict.unkept) == ([], [])


@pytest.mark.parametrize("rules", [RULES, GLIBC], ids=["own flag", "no flag of its own"])
def test_sizes(rules: ChunkRules) -> None:
    right = 64 | PREV | rules.in_use
    assert broken({3: {"size": 0x66206564616D2073}}, rules=rules) == {("chunks.size", 3): right}
    assert broken({3: {"size": 0}}, rules=rules) == {("chunks.size", 3): right}
    assert broken({6: {"size": (1 << 64) - 1}}, rules=rules) == {("chunks.size", 6): 128 | PREV}


def test_flags() -> None:
    assert broken({3: {"size": 64 | USED}}) == {("chunks.flags", 3): 64 | USED | PREV}
    assert broken({3: {"size": 64 | PREV}}) == {("chunks.flags", 3): 64 | USED | PREV}
    assert broken({3: {"size": 64 | USED | PREV | 8}}) == {("chunks.flags", 3): 64 | USED | PREV}
    assert broken({2: {"size": 96 | USED | PREV}}) == {("chunks.flags", 2): 96 | USED}
    assert broken({3: {"size": 64 | PREV | 4}}, rules=GLIBC) == {}


def test_boundary_tags() -> None:
    assert broken({2: {"prev_size": 0x47}}) == {("chunks.prev_size", 2): 48}
    assert broken({3: {"prev_size": 0x47}}) == {}  # the data of the used chunk in front


def test_free_neighbours() -> None:
    both: Changes = {
        3: {"size": 64 | PREV},
        4: {"size": 32, "prev_size": 64, "bk": address(3)},
        1: {"fd": address(3)},
    }
    both[3] |= {"fd": address(4), "bk": address(1)}
    ring = [address(1), address(3), address(4)]
    assert broken(both, ring, used_bytes=240, used_chunks=3) == {("chunks.unmerged", 4): None}
    # Free in front of top, and linked in, instead of a part of it.
    last: Changes = {5: {"size": 80, "fd": HEAD, "bk": address(4)}, 6: {"size": 128, "prev_size": 80}}
    last[4] = {"fd": address(5), "size": 32 | PREV}
    head = Bin(HEAD, address(1), address(5))
    found = broken(last, [*MEMBERS, address(5)], bins=(head,), used_bytes=224, used_chunks=3)
    assert found == {("chunks.unmerged", 5): None, ("chunks.unmerged", 6): None}


def test_bins() -> None:
    assert broken({4: {"fd": VirtualAddress(2)}}) == {("chunks.fd", 4): HEAD}
    assert broken({1: {"bk": VirtualAddress(2)}}) == {("chunks.bk", 1): HEAD}
    assert broken({1: {"fd": address(1), "bk": address(1)}}) == {
        ("chunks.fd", 1): address(4),
        ("chunks.bk", 1): HEAD,
    }
    head = Bin(HEAD, VirtualAddress(0), address(4))
    assert broken(bins=(head,)) == {("chunks.fd", -1): address(1)}


def test_free_in_no_bin_and_used_in_one() -> None:
    ring = Bin(HEAD, address(4), address(4))
    alone = {4: {"bk": HEAD}}
    assert broken(alone, [address(4)], bins=(ring,)) == {("chunks.binned", 1): None}
    # Freed twice and given out once since: its owner's data stand where the links were.
    given = {1: {"size": 48 | PREV | USED, "fd": VirtualAddress(1)}, 2: {"size": 96 | PREV | USED}}
    assert broken(given, used_bytes=352, used_chunks=5) == {("chunks.member", 1): None}


def test_the_arena_itself() -> None:
    assert broken(top=address(3))[("chunks.top", -1)] == address(6)
    assert broken(used_bytes=305) == {("chunks.used_bytes", -1): 304}
    assert broken(used_chunks=3) == {("chunks.used_chunks", -1): 4}
    assert broken(used_chunks=2, used_bytes=0, unkept=frozenset({"used_chunks", "used_bytes"})) == {}


def test_what_is_a_sum_over_all_chunks_needs_all_of_them() -> None:
    verdict = check_arena(ARENA, CHUNKS[:3], [(BIN, MEMBERS[:1])], RULES, complete=False)
    assert {rule.id for rule, _ in verdict.unchecked} == {
        "chunks.top",
        "chunks.used_bytes",
        "chunks.used_chunks",
    }


def test_nothing_is_judged_across_a_gap() -> None:
    """Chunks 3 and 4 cannot be read; 4 is in the bin."""
    left, gaps = [*CHUNKS[:3], *CHUNKS[5:]], {3: address(3)}
    verdict = check_arena(ARENA, left, [(BIN, [address(1), None])], RULES, gaps=gaps)
    assert verdict.violations == []
    assert {rule.id for rule, _ in verdict.unchecked} == {
        "chunks.top",
        "chunks.used_bytes",
        "chunks.used_chunks",
    }
    # On either side of it everything is judged, and a link that leads to no chunk is one all the same.
    for index, change, broken_rule in (
        (2, {"prev_size": 1}, "chunks.prev_size"),
        (1, {"fd": VirtualAddress(2)}, "chunks.fd"),
        (3, {"size": 80 | PREV | USED | 8}, "chunks.flags"),
    ):
        changed = list(left)
        changed[index] = replace(left[index], **change)
        verdict = check_arena(ARENA, changed, [(BIN, [address(1), None])], RULES, gaps=gaps)
        assert [found.invariant.id for found in verdict.violations] == [broken_rule]
