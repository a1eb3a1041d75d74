"""Both decoders of a whole space against the walk of the model, on tables of every kind of damage."""

from array import array
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coronel_gdb.errors import ReadFault
from coronel_gdb.lift.page_arrays import walk_pages_in_bulk
from coronel_gdb.lift.page_walker import walk_pages
from coronel_gdb.lift.pages import Bounds, Ends, Pages, SelfMap, shifted
from coronel_gdb.lift.space import AddressSpace
from coronel_gdb.lift.whole import has_more_tables, whole_space
from model.page_entry import Level, PagingMode, Rights
from model.paging import BadTable, Mapping, coalesce, walk_space
from model.spaces import walk_whole
from model.types import PhysicalAddress, VirtualAddress

P, W, U, PS, NX = 1, 2, 4, 1 << 7, 1 << 63
Decoder = Callable[..., Pages]
DECODERS = pytest.mark.parametrize("decode", [walk_pages, walk_pages_in_bulk])


class Tables:
    """Physical memory of a few pages; what is not there cannot be read."""

    def __init__(
        self, entries: dict[int, int], pages: int = 16, missing: frozenset[int] = frozenset()
    ) -> None:
        self.memory = bytearray(pages * 4096)
        self.missing = missing
        for at, entry in entries.items():
            self.memory[at : at + 8] = entry.to_bytes(8, "little")

    def read(self, address: PhysicalAddress, size_bytes: int) -> bytes:
        wanted = range(address // 4096, (address + size_bytes - 1) // 4096 + 1)
        if address + size_bytes > len(self.memory) or any(page * 4096 in self.missing for page in wanted):
            raise ReadFault("physical", address, size_bytes, "not there")
        return bytes(self.memory[address : address + size_bytes])

    def describe(self) -> str:
        return "a few pages"

    def space(self, mode: PagingMode) -> AddressSpace:
        return AddressSpace(self, PhysicalAddress(0x1000), mode)


def expected(tables: Tables, mode: PagingMode) -> tuple[list[Mapping], list[BadTable]]:
    """What the model's own walk says."""
    space = tables.space(mode)
    found = list(walk_space(space.table, space.root, mode))
    return (
        [one for one in found if isinstance(one, Mapping)],
        [one for one in found if isinstance(one, BadTable)],
    )


def check(decode: Decoder, tables: Tables, mode: PagingMode) -> None:
    mappings, bad = expected(tables, mode)
    pages = decode(tables.space(mode), through_self_maps=True)
    assert list(pages.ranges()) == list(coalesce(mappings))
    assert list(Ends(pages)[:]) == list(Ends(pages)) == [one.end for one in pages.ranges()]
    assert pages.bad == bad
    assert pages.complete
    assert pages.count == len(mappings)
    single = decode(tables.space(mode), coalesced=False, through_self_maps=True)
    assert [(r.virtual, r.physical, r.page_bytes, r.rights, r.pages) for r in single.ranges()] == [
        (m.virtual, m.physical, m.page_bytes, m.rights, 1) for m in mappings
    ]


slots = st.sampled_from([0, 1, 2, 3, 255, 256, 510, 511])
tables_at = st.sampled_from([0x1000 * n for n in range(1, 7)])
frames = st.one_of(
    tables_at, st.sampled_from([0x7000, 0x8000, 0x9000, 0x4000_0000, 0xFFFF_F000, 0xF_FFFF_F000])
)
flag_sets = st.sampled_from(
    [P, P | W, P | W | U, P | U, P | W | NX, P | PS, P | W | U | PS, 0, W | U,
     P | 1 << 45, P | W | PS | 1 << 12, P | PS | 1 << 13]
)  # fmt: skip
entries_of = st.dictionaries(
    st.builds(lambda table, slot: table + 8 * slot, tables_at, slots),
    st.builds(lambda frame, flags: frame | flags, frames, flag_sets),
    max_size=24,
)
modes = st.builds(
    PagingMode,
    levels=st.sampled_from([4, 5]),
    physical_bits=st.sampled_from([36, 40, 52]),
    nx_enabled=st.booleans(),
    huge_pages=st.booleans(),
)


@DECODERS
@settings(max_examples=100)
@given(entries=entries_of, mode=modes, missing=st.frozensets(tables_at, max_size=2))
def test_random_tables(
    decode: Decoder, entries: dict[int, int], mode: PagingMode, missing: frozenset[int]
) -> None:
    # Tables refer to each other, to themselves, to holes; a chain of rising addresses makes deep ones common.
    check(decode, Tables(entries, missing=missing - {0x1000}), mode)


@settings(max_examples=100)
@given(entries=entries_of, mode=modes, missing=st.frozensets(tables_at, max_size=2))
def test_the_walk_that_keeps_the_tables_finds_the_same_pages(
    entries: dict[int, int], mode: PagingMode, missing: frozenset[int]
) -> None:
    tables = Tables(entries, missing=missing - {0x1000})
    mappings, bad = expected(tables, mode)
    space = walk_whole(tables.space(mode).table, "space", PhysicalAddress(0x1000), mode)
    found = [
        (run.virtual + at, run.physical + at, run.page_bytes, run.rights)
        for run in space.runs
        for at in range(0, run.size_bytes, run.page_bytes)
    ]
    known = [(each.virtual, each.physical, each.page_bytes, each.rights) for each in mappings]
    assert set(found) <= set(known)
    if not space.again:  # a table that is met again is gone through once
        assert (found, space.bad) == (known, bad)


@DECODERS
@settings(max_examples=40)
@given(
    runs=st.lists(st.tuples(st.integers(0, 511), st.integers(1, 40), flag_sets, st.booleans()), max_size=12),
    upper=st.lists(st.tuples(slots, slots, slots, flag_sets, flag_sets, flag_sets), min_size=1, max_size=6),
    mode=modes,
    frame=st.sampled_from([0x10_0000, *((1 << bits) - 0x8000 for bits in (36, 40, 52))]),
)
def test_runs_of_pages_seen_through_several_paths(
    decode: Decoder,
    runs: list[tuple[int, int, int, bool]],
    upper: list[tuple[int, int, int, int, int, int]],
    mode: PagingMode,
    frame: int,
) -> None:
    """Real shapes: contiguous runs, cut by rights, and the same table under other rights elsewhere."""
    entries: dict[int, int] = {}
    top = 0x1000
    if mode.levels == 5:
        entries[0x1000] = 0x6000 | P | W | U
        entries[0x1FF8] = 0x6000 | P | W
        top = 0x6000
    for a, b, c, f, g, h in upper:
        entries[top + 8 * a] = 0x2000 | (f & ~PS) | P
        entries[0x2000 + 8 * b] = 0x3000 | (g & ~PS) | P
        entries[0x3000 + 8 * c] = (0x4000 if c % 2 else 0x5000) | (h & ~PS) | P
    for start, count, flags, other in runs:
        for index in range(start, min(start + count, 512)):
            entries[(0x5000 if other else 0x4000) + 8 * index] = (frame + 4096 * index) % (1 << 52) | flags
    check(decode, Tables(entries), mode)


@DECODERS
@pytest.mark.parametrize("physical_bits", [40, 52])
def test_pages_that_run_out_of_the_physical_addresses(decode: Decoder, physical_bits: int) -> None:
    beyond, entries = 1 << physical_bits, {0x1000: 0x2000 | P, 0x2000: 0x3000 | P, 0x3000: 0x4000 | P}
    for at, size, flags in ((0x2008, 1 << 30, P | PS), (0x3008, 2 << 20, P | PS), (0x4008, 4096, P)):
        entries |= {at + 8 * index: beyond + (index - 2) * size | flags for index in range(3)}
    check(decode, Tables(entries), PagingMode(physical_bits=physical_bits))


@DECODERS
def test_a_self_map_is_said_and_not_followed(decode: Decoder) -> None:
    mode = PagingMode(physical_bits=40)
    entries = {0x1000: 0x2000 | P | W, 0x1FF8: 0x1000 | P | W | NX, 0x2000: 0x3000 | P | W, 0x3000: PS | P}
    pages = decode(Tables(entries).space(mode))
    assert [(r.virtual, r.page_bytes) for r in pages.ranges()] == [(0, 2 << 20)]
    assert pages.self_maps == [
        SelfMap(
            VirtualAddress(0xFFFF_FF80_0000_0000),
            1 << 39,
            Level.PML4E,
            511,
            PhysicalAddress(0x1FF8),
            PhysicalAddress(0x1000),
            Rights(writable=True, user=False, executable=False),
        )
    ]
    followed = decode(Tables(entries).space(mode), through_self_maps=True)
    # Every table of the space appears as a page below it, and so does the large page's range.
    upper = [r for r in followed.ranges() if r.virtual >> 63]
    assert {int(r.physical) for r in upper} >= {0x1000, 0x2000, 0x3000}


@DECODERS
def test_the_tables_met_are_known_by_their_levels(decode: Decoder) -> None:
    entries = {0x1000: 0x2000 | P, 0x1008: 0x3000 | P, 0x2000: 0x3000 | P, 0x3000: 0x4000 | P}
    pages = decode(Tables(entries).space(PagingMode(physical_bits=40)))
    # 0x3000 is a PDPT by slot 1 of the PML4 and a page directory by the PDPT at 0x2000.
    assert pages.tables == {0x1000: 1 << 4, 0x2000: 1 << 3, 0x3000: 1 << 3 | 1 << 2, 0x4000: 1 << 2 | 1 << 1}


@DECODERS
def test_the_rights_of_leaves_alone(decode: Decoder) -> None:
    entries = {
        0x1000: 0x2000 | P,
        0x2000: 0x3000 | P | U,
        0x3000: 0x4000 | P | W | U | NX,
        0x4000: 0x9000 | P | W | U,
    }
    space = Tables(entries).space(PagingMode(physical_bits=40))
    (effective,) = decode(space).ranges()
    assert effective.rights == Rights(writable=False, user=False, executable=False)
    (alone,) = whole_space(space, effective=False).ranges()
    assert alone.rights == Rights(writable=True, user=True, executable=True)


def deep(full_levels: int) -> Tables:
    """`full_levels` tables of 512 equal entries above each other, then an empty one."""
    entries = {
        0x1000 * (level + 1) + 8 * index: 0x1000 * (level + 2) | P | W
        for level in range(full_levels)
        for index in range(512)
    }
    return Tables(entries)


@DECODERS
def test_a_walk_without_end_is_bounded(decode: Decoder) -> None:
    bounds = Bounds(ranges=20_000, visits=20_000)
    # 512^4 pages.
    pages = decode(deep(4).space(PagingMode(physical_bits=40)), bounds=bounds)
    assert not pages.complete
    assert 20_000 <= len(pages) < 600_000
    # 512^3 times an empty table.
    assert len(decode(deep(3).space(PagingMode(physical_bits=40)), bounds=bounds)) == 0


@DECODERS
def test_progress_is_told_and_may_end_the_walk(decode: Decoder) -> None:
    class Enough(Exception):
        pass

    def stop(_: int) -> None:
        raise Enough

    with pytest.raises(Enough):
        decode(deep(3).space(PagingMode(physical_bits=40)), progress=stop)


def test_whether_there_are_many_tables() -> None:
    entries = {0x1000: 0x2000 | P, 0x2000: 0x3000 | P, 0x2008: 0x4000_0000 | P | PS}
    below = {0x3000 + 8 * index: (0x4000 + 0x1000 * (index % 3)) | P for index in range(300)}
    space = Tables(entries | below | {0x3FF8: 0x20_0000 | P | PS}).space(PagingMode(physical_bits=40))
    # Aliases cost next to nothing, so each table counts once: three, and those at the last level.
    assert [has_more_tables(space, limit) for limit in (1, 2, 5, 6, 302, 303)] == [True] * 3 + [False] * 3


@given(st.lists(st.integers(0, (1 << 63) - 1), max_size=20), st.integers(0, 1 << 63), st.integers(1, 300))
def test_words_are_shifted_at_once(words: list[int], delta: int, times: int) -> None:
    assert list(shifted(array("Q", words * times), delta)) == [word + delta for word in words] * times


def test_the_last_page_of_all_ends_beyond_64_bits() -> None:
    entries = {0x1FF8: 0x2000 | P, 0x2FF8: 0x3000 | P, 0x3FF0: 0x20_0000 | P | PS, 0x3FF8: 0x80_0000 | P | PS}
    pages = walk_pages(Tables(entries).space(PagingMode(physical_bits=40)))
    assert list(Ends(pages)[:]) == [(1 << 64) - (2 << 20), 1 << 64]


def test_the_columns_answer_by_address_and_by_frame() -> None:
    entries = {
        0x1000: 0x2000 | P | W,
        0x2000: 0x3000 | P | W,
        0x3000: 0x4000 | P | W,
        0x3008: 0x20_0000 | P | PS,
    }
    entries |= {0x4000 + 8 * index: 0x20_0000 + 4096 * index | P | W for index in range(3)}
    pages = walk_pages(Tables(entries).space(PagingMode(physical_bits=40)))
    assert list(pages.mappings_of(0x20_1000)) == [(0x1000, 0), (0x20_1000, 1)]
    assert list(pages.mappings_of(0x20_3000)) == [(0x20_3000, 1)]
    assert [pages.at(address) for address in (0, 0x2FFF, 0x3000, 0x20_0000, 0x3F_FFFF, 0x40_0000)] == [
        0, 0, None, 1, 1, None,
    ]  # fmt: skip
    assert pages.mapped_bytes() == 0x3000 + 0x20_0000
    assert list(pages.chosen([1]).starts) == [0x20_0000]
    assert replace(pages, tables={}).count == 4
