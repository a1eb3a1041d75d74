"""The walk of a whole address space, and its coalescing into ranges."""

from itertools import islice

from hypothesis import given, settings
from hypothesis import strategies as st

from model.paging import (
    BadTable,
    FaultReason,
    Level,
    Mapping,
    PagingMode,
    Range,
    Rights,
    Translation,
    coalesce,
    walk,
    walk_space,
)
from model.types import PhysicalAddress, VirtualAddress

P, W, U, PS = 1, 2, 4, 1 << 7
NX = 1 << 63
MODE = PagingMode(physical_bits=40)
ROOT = PhysicalAddress(0x1000)
READ_ONLY = Rights(writable=False, user=False, executable=True)
NOTHING = Rights(writable=False, user=False, executable=False)
WRITE = Rights(writable=True, user=False, executable=True)


class Tables:
    """Tables in a dictionary, which counts how often each is read."""

    def __init__(self, entries: dict[int, int]) -> None:
        self.entries = entries
        self.reads: list[int] = []
        self.missing: set[int] = set()

    def read_table(self, address: PhysicalAddress) -> bytes | None:
        self.reads.append(address)
        if address in self.missing:
            return None
        return b"".join(
            self.entries.get(at, 0).to_bytes(8, "little") for at in range(address, address + 4096, 8)
        )

    def read_entry(self, address: PhysicalAddress) -> int | None:
        return None if address & ~0xFFF in self.missing else self.entries.get(address, 0)

    def space(self, mode: PagingMode = MODE) -> list[Mapping | BadTable]:
        return list(walk_space(self.read_table, ROOT, mode))


def mapping(virtual: int, physical: int, size: int, rights: Rights, entry: int) -> Mapping:
    return Mapping(VirtualAddress(virtual), PhysicalAddress(physical), size, rights, entry)


def test_every_size_in_ascending_canonical_order() -> None:
    tables = Tables(
        {
            0x1FF8: 0x2000 | P | W,  # slot 511: the upper half
            0x1000: 0x2000 | P,  # slot 0: the same tables, read-only
            0x2000: 0x4000_0000 | P | W | PS | 1 << 12,  # 1 GiB with PAT
            0x2008: 0x3000 | P | W,
            0x3000: 0x60_0000 | P | W | PS,
            0x3008: 0x4000 | P | W,
            0x4000 + 8 * 3: 0x9000 | P | W,
            0x4000 + 8 * 4: 0x9000 | P | W | NX,  # an alias of the same frame
        }
    )
    upper = 0xFFFF_FF80_0000_0000
    one, two = 1 << 30, 2 << 20
    expected = [
        mapping(base + at, physical, size, rights if entry & NX == 0 else denied, entry)
        for base, rights, denied in (
            (0, READ_ONLY, NOTHING),
            (upper, WRITE, Rights(writable=True, user=False, executable=False)),
        )
        for at, physical, size, entry in (
            (0, 0x4000_0000, one, 0x4000_0000 | P | W | PS | 1 << 12),
            (one, 0x60_0000, two, 0x60_0000 | P | W | PS),
            (one + two + 0x3000, 0x9000, 4096, 0x9000 | P | W),
            (one + two + 0x4000, 0x9000, 4096, 0x9000 | P | W | NX),
        )
    ]
    assert tables.space() == expected
    assert sorted(tables.reads) == [0x1000, 0x2000, 0x3000, 0x4000]  # each once


def test_an_unreadable_table_is_told_with_what_refers_to_it() -> None:
    tables = Tables({0x1008: 0x2000 | P, 0x2010: 0x3000 | P})
    tables.missing = {0x3000}
    # Slot 1 of the PML4 is 512 GiB, slot 2 of the PDPT 2 GiB; a page directory covers 1 GiB.
    (bad,) = tables.space()
    assert bad == BadTable(
        PhysicalAddress(0x3000),
        Level.PDE,
        VirtualAddress((512 << 30) + (2 << 30)),
        FaultReason.UNREADABLE,
        PhysicalAddress(0x2010),
        2,
    )
    assert bad.reserved_bits == 0
    assert bad.span_bytes == 1 << 30


def test_an_unreadable_root() -> None:
    tables = Tables({})
    tables.missing = {0x1000}
    (bad,) = tables.space()
    assert isinstance(bad, BadTable)
    assert (bad.level, bad.virtual, bad.entry_address, bad.index) == (Level.PML4E, 0, None, None)
    assert bad.span_bytes == 1 << 48


def test_a_table_that_comes_short_is_unreadable() -> None:
    (bad,) = walk_space(lambda _: b"\x00" * 4095, ROOT, MODE)
    assert isinstance(bad, BadTable)
    assert bad.reason is FaultReason.UNREADABLE


def test_a_reserved_bit_spoils_one_entry_alone() -> None:
    tables = Tables(
        {
            0x1000: 0x2000 | P | W,
            0x2000: 0x3000 | P | W,
            0x3000: 0x4000 | P | W,
            0x4000: 0x5000 | P | W | 1 << 45,
            0x4008: 0x6000 | P | W,
        }
    )
    bad, good = tables.space()
    assert bad == BadTable(
        PhysicalAddress(0x4000),
        Level.PTE,
        VirtualAddress(0),
        FaultReason.RESERVED_BIT,
        PhysicalAddress(0x4000),
        0,
        1 << 45,
    )
    assert bad.span_bytes == 4096
    assert good == mapping(0x1000, 0x6000, 4096, WRITE, 0x6000 | P | W)


def test_a_recursive_table_is_bounded_by_the_levels() -> None:
    # Slot 511 of the only table refers to itself, slot 510 too: 2**4 pages come, no more.
    tables = Tables({0x1000 + 8 * 510: 0x1000 | P, 0x1000 + 8 * 511: 0x1000 | P})
    space = tables.space()
    assert len(space) == 16
    assert tables.reads == [0x1000]
    assert space[-1] == mapping((1 << 64) - 4096, 0x1000, 4096, READ_ONLY, 0x1000 | P)


def test_the_caller_may_stop() -> None:
    tables = Tables(dict.fromkeys(range(4096, 8192, 8), 4096 | P))  # 2**36 pages
    assert len(list(islice(walk_space(tables.read_table, ROOT, MODE), 1000))) == 1000


def test_five_levels_extend_the_sign_at_bit_56() -> None:
    tables = Tables({0x1FF8: 0x2000 | P, 0x2000: 0x3000 | P, 0x3000: 0x4000_0000 | P | PS})
    (found,) = tables.space(PagingMode(levels=5))
    assert found.virtual == 0xFFFF_0000_0000_0000


def test_coalesce_by_hand() -> None:
    pages = [
        mapping(0x1000, 0x8000, 4096, WRITE, 1),
        mapping(0x2000, 0x9000, 4096, WRITE, 3),
        mapping(0x3000, 0xA000, 4096, READ_ONLY, 1),  # other rights
        mapping(0x4000, 0xC000, 4096, READ_ONLY, 1),  # not contiguous physically
        mapping(0x6000, 0xD000, 4096, READ_ONLY, 1),  # not contiguous virtually
        mapping(0x20_0000, 0x20_0000, 2 << 20, READ_ONLY, 1),
        mapping(0x40_0000, 0x40_0000, 4096, READ_ONLY, 1),  # another size
        mapping((1 << 64) - 4096, 0x40_1000, 4096, READ_ONLY, 1),
    ]

    def ranged(virtual: int, end: int, physical: int, rights: Rights, size: int, count: int) -> Range:
        return Range(
            VirtualAddress(virtual), VirtualAddress(end), PhysicalAddress(physical), rights, size, count
        )

    assert list(coalesce(pages)) == [
        ranged(0x1000, 0x3000, 0x8000, WRITE, 4096, 2),
        ranged(0x3000, 0x4000, 0xA000, READ_ONLY, 4096, 1),
        ranged(0x4000, 0x5000, 0xC000, READ_ONLY, 4096, 1),
        ranged(0x6000, 0x7000, 0xD000, READ_ONLY, 4096, 1),
        ranged(0x20_0000, 0x40_0000, 0x20_0000, READ_ONLY, 2 << 20, 1),
        ranged(0x40_0000, 0x40_1000, 0x40_0000, READ_ONLY, 4096, 1),
        ranged((1 << 64) - 4096, 1 << 64, 0x40_1000, READ_ONLY, 4096, 1),
    ]
    assert list(coalesce([])) == []


# A handful of tables whose few present entries refer to each other, to pages and to a hole.
slots = st.sampled_from([0, 1, 255, 256, 510, 511])
frames = st.sampled_from([0x1000, 0x2000, 0x3000, 0x4000, 0x5000, 0xF000, 0x4000_0000])
flags = st.sampled_from([P, P | W, P | W | U, P | W | NX, P | PS, 0, P | 1 << 45, P | W | PS | 1 << 12])
some_entries = st.dictionaries(
    st.builds(lambda table, slot: table + 8 * slot, st.sampled_from([0x1000, 0x2000, 0x3000, 0x4000]), slots),
    st.builds(lambda frame, bits: frame | bits, frames, flags),
    max_size=12,
)


@settings(max_examples=150)
@given(entries=some_entries, indices=st.lists(st.tuples(slots, slots, slots, slots), max_size=20))
def test_the_space_and_the_single_walk_agree(
    entries: dict[int, int], indices: list[tuple[int, int, int, int]]
) -> None:
    tables = Tables(entries)
    tables.missing = {0xF000}
    space = tables.space()
    starts = [part.virtual for part in space]
    assert starts == sorted(set(starts))
    for part in space:
        found = walk(tables.read_entry, ROOT, part.virtual, MODE)
        if isinstance(part, Mapping):
            assert isinstance(found, Translation)
            assert (found.physical, found.rights, found.leaf) == (part.physical, part.rights, part.entry)
        else:
            assert not isinstance(found, Translation)
            assert (found.reason, found.level) == (part.reason, part.level)
    for a, b, c, d in indices:
        low = a << 39 | b << 30 | c << 21 | d << 12
        address = VirtualAddress(low | 0xFFFF << 48 if a >= 256 else low)
        found = walk(tables.read_entry, ROOT, address, MODE)
        covering = [
            part
            for part in space
            if isinstance(part, Mapping) and 0 <= address - part.virtual < part.page_bytes
        ]
        if isinstance(found, Translation):
            (part,) = covering
            assert found.physical == part.physical + (address - part.virtual)
        else:
            assert covering == []
