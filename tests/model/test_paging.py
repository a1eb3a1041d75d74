"""The walk of one address: hand-built tables, then a naive walk by bit strings as the judge."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.paging import (
    FaultReason,
    Level,
    PageFault,
    PagingMode,
    Rights,
    Translation,
    canonical,
    sign_extend,
    walk,
)
from model.types import PhysicalAddress, VirtualAddress

P, W, U, PWT, PCD, A, D, PS, G = (1 << bit for bit in range(9))
NX = 1 << 63
FOUR = PagingMode(levels=4, physical_bits=40)
FIVE = PagingMode(levels=5, physical_bits=40)
ROOT = PhysicalAddress(0x1000)


def look(entries: dict[int, int], address: int, mode: PagingMode = FOUR) -> Translation | PageFault:
    """Walk tables of which only some entries exist; the others are 0."""
    return walk(lambda at: entries.get(at, 0), ROOT, VirtualAddress(address), mode)


def page(result: Translation | PageFault) -> Translation:
    assert isinstance(result, Translation)
    return result


def fault(result: Translation | PageFault) -> PageFault:
    assert isinstance(result, PageFault)
    return result


# 0xffffffff80123456: PML4 511, PDPT 510, PD 0, PT 0x123, offset 0x456.
HIGH = 0xFFFF_FFFF_8012_3456
HIGH_TABLES = {
    0x1000 + 8 * 511: 0x2000 | P | W,
    0x2000 + 8 * 510: 0x3000 | P | W,
    0x3000 + 8 * 0: 0x4000 | P | W,
    0x4000 + 8 * 0x123: 0xABCDE000 | P | W | NX,
}


def test_four_levels_by_hand() -> None:
    found = page(look(HIGH_TABLES, HIGH))
    assert found.physical == 0xABCDE456
    assert found.page_bytes == 4096
    assert found.rights == Rights(writable=True, user=False, executable=False)
    assert [(s.level, s.entry_address, s.index) for s in found.steps] == [
        (Level.PML4E, 0x1FF8, 511),
        (Level.PDPTE, 0x2FF0, 510),
        (Level.PDE, 0x3000, 0),
        (Level.PTE, 0x4918, 0x123),
    ]
    assert found.leaf == 0xABCDE000 | P | W | NX
    assert found.level == Level.PTE


def test_five_levels_by_hand() -> None:
    # 0x00a3456789abcdef: bits 56:48 = 0xa3, 47:39 = 0x8a, 38:30 = 0x19e, 29:21 = 0x4d, 20:12 = 0xbc
    entries = {
        0x1000 + 8 * 0xA3: 0x2000 | P | U | W,
        0x2000 + 8 * 0x8A: 0x3000 | P | U | W,
        0x3000 + 8 * 0x19E: 0x4000 | P | U | W,
        0x4000 + 8 * 0x4D: 0x5000 | P | U | W,
        0x5000 + 8 * 0xBC: 0x7000 | P | U | W,
    }
    found = page(look(entries, 0x00A3_4567_89AB_CDEF, FIVE))
    assert found.physical == 0x7DEF
    assert found.rights == Rights(writable=True, user=True, executable=True)
    assert found.steps[0].level == Level.PML5E


def test_two_mebibyte_page_by_hand() -> None:
    # Bit 12 is PAT, no address bit; the offset has 21 bits: 0x123456.
    entries = HIGH_TABLES | {0x3000: 0x4060_0000 | P | W | PS | 1 << 12}
    found = page(look(entries, HIGH))
    assert found.physical == 0x4072_3456
    assert found.page_bytes == 2 << 20
    assert found.pat
    assert page(look(HIGH_TABLES | {0x3000: 0x4060_0000 | P | PS}, HIGH)).pat is False


def test_one_gibibyte_page_by_hand() -> None:
    entries = HIGH_TABLES | {0x2000 + 8 * 510: 0x1_C000_0000 | P | PS | 1 << 12}
    found = page(look(entries, HIGH))
    assert found.physical == 0x1_C012_3456
    assert found.page_bytes == 1 << 30
    assert found.pat


def test_bit_7_of_a_pte_is_pat() -> None:
    found = page(look(HIGH_TABLES | {0x4918: 0x5000 | P | PS}, HIGH))
    assert (found.pat, found.physical, found.page_bytes) == (True, 0x5456, 4096)
    assert page(look(HIGH_TABLES | {0x4918: 0x5000 | 1 << 12 | P}, HIGH)).physical == 0x5456
    assert not page(look(HIGH_TABLES | {0x4918: 0x5000 | 1 << 12 | P}, HIGH)).pat


@pytest.mark.parametrize("name", ["global_", "dirty", "accessed", "pwt", "pcd"])
def test_flags_of_the_leaf_alone(name: str) -> None:
    bit = {"global_": G, "dirty": D, "accessed": A, "pwt": PWT, "pcd": PCD}[name]
    with_bit = HIGH_TABLES | {0x4918: 0x5000 | P | bit}
    above = HIGH_TABLES | {0x4918: 0x5000 | P, 0x3000: 0x4000 | P | W | bit}
    assert getattr(page(look(with_bit, HIGH)), name) is True
    assert getattr(page(look(above, HIGH)), name) is False


@pytest.mark.parametrize("at", list(HIGH_TABLES))
def test_rights_need_every_level(at: int) -> None:
    everything = {where: entry & ~NX | W | U for where, entry in HIGH_TABLES.items()}
    assert page(look(everything, HIGH)).rights == Rights(writable=True, user=True, executable=True)
    for bits, expected in (
        (everything[at] & ~W, Rights(writable=False, user=True, executable=True)),
        (everything[at] & ~U, Rights(writable=True, user=False, executable=True)),
        (everything[at] | NX, Rights(writable=True, user=True, executable=False)),
    ):
        assert page(look(everything | {at: bits}, HIGH)).rights == expected


@pytest.mark.parametrize(
    ("at", "level", "steps"), [(0x1FF8, 4, 1), (0x2FF0, 3, 2), (0x3000, 2, 3), (0x4918, 1, 4)]
)
def test_a_present_bit_of_zero_ends_the_walk_unseen(at: int, level: int, steps: int) -> None:
    # Every other bit is set, reserved ones too: not present wins, nothing else is looked at.
    found = fault(look(HIGH_TABLES | {at: (1 << 64) - 2}, HIGH))
    assert (found.reason, found.level, len(found.steps)) == (FaultReason.NOT_PRESENT, level, steps)
    assert found.reserved_bits == 0
    assert found.steps[-1].entry == (1 << 64) - 2


@pytest.mark.parametrize(
    ("at", "bits", "offending"),
    [
        (0x1FF8, 1 << 40, 1 << 40),
        (0x1FF8, 1 << 51 | 1 << 40, 1 << 51 | 1 << 40),
        (0x1FF8, PS, PS),
        (0x2FF0, PS | 1 << 13, 1 << 13),
        (0x2FF0, PS | 1 << 29, 1 << 29),
        (0x3000, PS | 1 << 13, 1 << 13),
        (0x3000, PS | 1 << 20, 1 << 20),
        (0x4918, 1 << 45, 1 << 45),
    ],
)
def test_reserved_bits(at: int, bits: int, offending: int) -> None:
    base = 0x4000_0000 if bits & PS else HIGH_TABLES[at]
    found = fault(look(HIGH_TABLES | {at: base | P | bits}, HIGH))
    assert found.reason is FaultReason.RESERVED_BIT
    assert found.reserved_bits == offending
    assert found.steps[-1].entry_address == at


@pytest.mark.parametrize("at", list(HIGH_TABLES))
@pytest.mark.parametrize("bit", [52, 58, 59, 62, 8, 9, 10, 11, 6, 5])
def test_ignored_bits(at: int, bit: int) -> None:
    found = page(look(HIGH_TABLES | {at: HIGH_TABLES[at] | 1 << bit}, HIGH))
    assert found.physical == 0xABCDE456


def test_all_address_bits_when_the_processor_has_52() -> None:
    wide = PagingMode(physical_bits=52)
    found = page(look(HIGH_TABLES | {0x4918: (1 << 52) - 4096 | P}, HIGH, wide))
    assert found.physical == (1 << 52) - 4096 + 0x456


def test_nx_is_reserved_without_nxe() -> None:
    mode = PagingMode(physical_bits=40, nx_enabled=False)
    found = fault(look(HIGH_TABLES, HIGH, mode))
    assert (found.reserved_bits, found.level) == (NX, Level.PTE)
    assert page(look(HIGH_TABLES | {0x4918: 0x5000 | P}, HIGH, mode)).rights.executable


def test_no_huge_pages_on_a_processor_without_them() -> None:
    mode = PagingMode(physical_bits=40, huge_pages=False)
    entries = HIGH_TABLES | {0x2FF0: 0x4000_0000 | P | PS}
    assert fault(look(entries, HIGH, mode)).reserved_bits == PS
    assert page(look(entries, HIGH)).page_bytes == 1 << 30


def test_ps_is_reserved_in_a_pml5e() -> None:
    found = fault(look({0x1000: 0x2000 | P | PS}, 0, FIVE))
    assert (found.reserved_bits, found.level) == (PS, Level.PML5E)


def test_cr3_flags_and_high_bits_do_not_matter() -> None:
    expected = look(HIGH_TABLES, HIGH)
    for cr3 in (0x1000 | 0xFFF, 0x1000 | 1 << 40 | 1 << 63):
        found = walk(lambda at: HIGH_TABLES.get(at, 0), PhysicalAddress(cr3), VirtualAddress(HIGH), FOUR)
        assert found == expected


def test_an_unreadable_table_is_not_an_empty_one() -> None:
    def read(at: int) -> int | None:
        return HIGH_TABLES[at] if at < 0x3000 else None

    found = fault(walk(read, ROOT, VirtualAddress(HIGH), FOUR))
    assert (found.reason, found.level, found.table) == (FaultReason.UNREADABLE, Level.PDE, 0x3000)
    assert len(found.steps) == 2


@pytest.mark.parametrize(
    ("address", "four", "five"),
    [
        (0, True, True),
        (0x0000_7FFF_FFFF_FFFF, True, True),
        (0x0000_8000_0000_0000, False, True),
        (0x00FF_FFFF_FFFF_FFFF, False, True),
        (0x0100_0000_0000_0000, False, False),
        (0xFEFF_FFFF_FFFF_FFFF, False, False),
        (0xFF00_0000_0000_0000, False, True),
        (0xFFFF_7FFF_FFFF_FFFF, False, True),
        (0xFFFF_8000_0000_0000, True, True),
        (0xFFFF_FFFF_FFFF_FFFF, True, True),
        (1 << 64, False, False),
        (-1, False, False),
    ],
)
def test_canonical_edges(address: int, four: bool, five: bool) -> None:
    assert (canonical(address, 4), canonical(address, 5)) == (four, five)
    expected = {False: FaultReason.NON_CANONICAL, True: FaultReason.NOT_PRESENT}
    for mode, good in ((FOUR, four), (FIVE, five)):
        found = fault(look({}, address, mode))
        assert found.reason is expected[good]
        assert len(found.steps) == int(good)  # not canonical: no entry is read


def test_sign_extension() -> None:
    assert sign_extend(0x0000_8000_0000_0000, 4) == 0xFFFF_8000_0000_0000
    assert sign_extend(0x0000_7FFF_FFFF_F000, 4) == 0x0000_7FFF_FFFF_F000
    assert sign_extend(0x0000_8000_0000_0000, 5) == 0x0000_8000_0000_0000
    assert sign_extend(0x0100_0000_0000_0000, 5) == 0xFF00_0000_0000_0000
    # Bits above the width do not count, the lowest one does.
    assert sign_extend(0x0003_0000_0000_0001, 4) == 1
    assert sign_extend(0x0600_0000_0000_0001, 5) == 1
    assert sign_extend(0xFFFF_0000_0000_0000, 4) == 0


@pytest.mark.parametrize("mode", [{"levels": 3}, {"levels": 6}, {"physical_bits": 31}, {"physical_bits": 53}])
def test_no_processor_pages_like_that(mode: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="has"):
        PagingMode(levels=mode.get("levels", 4), physical_bits=mode.get("physical_bits", 40))


def naive_walk(entries: list[int], cr3: int, address: int, mode: PagingMode) -> tuple[object, ...]:
    """The manual's tables as pictures: character 0 of a string is bit 63, character 63 is bit 0."""

    def field(text: str, high: int, low: int) -> str:
        return text[63 - high : 63 - low + 1]

    address_text = f"{address:064b}"
    width = {4: 48, 5: 57}[mode.levels]
    if len(set(field(address_text, 63, width - 1))) != 1:
        return ("not canonical",)
    table = int(field(f"{cr3:064b}", mode.physical_bits - 1, 12) + "0" * 12, 2)
    seen = []
    writable = user = executable = True
    for depth, entry in enumerate(entries):
        level = mode.levels - depth
        low = {1: 12, 2: 21, 3: 30, 4: 39, 5: 48}[level]
        seen.append(table + 8 * int(field(address_text, low + 8, low), 2))
        text = f"{entry:064b}"
        if text[63] == "0":
            return ("not present", level, seen)
        must_be_zero = list(range(mode.physical_bits, 52))
        large = text[63 - 7] == "1"
        must_be_zero += [63] if not mode.nx_enabled else []
        must_be_zero += [7] if level >= 4 or (level == 3 and not mode.huge_pages) else []
        if level == 3 and large and mode.huge_pages:
            must_be_zero += list(range(13, 30))
        if level == 2 and large:
            must_be_zero += list(range(13, 21))
        offending = [bit for bit in must_be_zero if text[63 - bit] == "1"]
        if offending:
            return ("reserved", level, seen, sum(1 << bit for bit in offending))
        writable = writable and text[63 - 1] == "1"
        user = user and text[63 - 2] == "1"
        executable = executable and text[0] == "0"
        if level == 1 or large:
            physical = int(field(text, 51, low) + field(address_text, low - 1, 0), 2)
            return ("page", level, seen, physical, writable, user, executable)
        table = int(field(text, 51, 12) + "0" * 12, 2)
    raise AssertionError("a PTE always ends the walk")


def described(result: Translation | PageFault) -> tuple[object, ...]:
    seen = [step.entry_address for step in result.steps]
    if isinstance(result, Translation):
        rights = result.rights
        return ("page", result.level, seen, result.physical, rights.writable, rights.user, rights.executable)
    match result.reason:
        case FaultReason.NON_CANONICAL:
            return ("not canonical",)
        case FaultReason.NOT_PRESENT:
            return ("not present", result.level, seen)
        case _:
            return ("reserved", result.level, seen, result.reserved_bits)


# Any bits; or a mostly harmless entry, so that many walks go all the way down.
u64 = st.integers(0, (1 << 64) - 1)
harmless = st.builds(
    lambda bits, large, few: (bits & 0x8000_0000_C000_0F7E) | P | large | few,
    u64,
    st.sampled_from([0, 0, PS]),
    st.sampled_from([0, 0, 0, 1 << 12, 1 << 13, 1 << 20, 1 << 21, 1 << 29, 1 << 36, 1 << 51, 1 << 52]),
)
addresses = st.one_of(
    u64,
    u64.map(lambda a: a >> 17),
    u64.map(lambda a: a >> 17 | 0xFFFF_8000_0000_0000),
    u64.map(lambda a: a >> 8),
)
modes = st.builds(
    PagingMode, st.sampled_from([4, 5]), st.sampled_from([32, 36, 40, 51, 52]), st.booleans(), st.booleans()
)


@settings(max_examples=500)
@given(entries=st.lists(harmless | u64, min_size=5, max_size=5), cr3=u64, address=addresses, mode=modes)
def test_the_walk_equals_a_naive_one(entries: list[int], cr3: int, address: int, mode: PagingMode) -> None:
    entries = entries[: mode.levels]
    supply = iter(entries)
    found = walk(lambda _: next(supply), PhysicalAddress(cr3), VirtualAddress(address), mode)
    assert described(found) == naive_walk(entries, cr3, address, mode)
