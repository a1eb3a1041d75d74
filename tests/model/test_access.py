"""One access after the other: rules R3, R7, R8, R11, R19 to R22 on tables by hand."""

from dataclasses import replace

import pytest

from model.access import (
    Allowed,
    EntryUpdate,
    Fault,
    GeneralProtection,
    Outcome,
    Unreadable,
    access_bytes,
    perform,
)
from model.denial import Access, Denial, Operation
from model.paging import PagingMode
from model.types import PhysicalAddress, VirtualAddress
from tests.model.access_tables import (
    ADDRESS,
    ALL,
    AT,
    FETCH,
    IMPLICIT_READ_AT_3,
    KERNEL_PAGE,
    MODE,
    NX,
    PS,
    READ,
    ROOT,
    STATE,
    USER_FETCH,
    USER_PAGE,
    USER_READ,
    USER_WRITE,
    WRITE,
    A,
    D,
    P,
    U,
    W,
    use,
)

HOLE = VirtualAddress(0x8000_0000_0000)


def allowed(outcome: Outcome) -> Allowed:
    assert isinstance(outcome, Allowed)
    return outcome


def fault(outcome: Outcome) -> Fault:
    assert isinstance(outcome, Fault)
    return outcome


def changed(outcome: Allowed) -> dict[int, int]:
    return {update.entry_address: update.before ^ update.after for update in outcome.updates}


# R3


@pytest.mark.parametrize("access", ALL)
def test_an_address_that_is_not_canonical_is_refused_before_any_table_is_read(access: Access) -> None:
    def never(_: PhysicalAddress) -> int:
        raise AssertionError("an entry was read")

    assert perform(never, ROOT, HOLE, STATE, access) == GeneralProtection(HOLE)


def test_a_table_that_cannot_be_read_is_no_fault() -> None:
    outcome = perform(lambda _: None, ROOT, ADDRESS, STATE, READ)
    assert isinstance(outcome, Unreadable)
    assert (outcome.virtual, outcome.result.table) == (ADDRESS, ROOT)


# R7, R11, R19: bits W, U and I say what was tried, P and RSVD what stopped it.

STOPPED = [
    (READ, 0), (WRITE, 2), (FETCH, 16), (USER_READ, 4), (USER_WRITE, 6), (USER_FETCH, 20),
    (IMPLICIT_READ_AT_3, 0),
]  # fmt: skip


@pytest.mark.parametrize(("access", "code"), STOPPED)
@pytest.mark.parametrize("level", [4, 3, 2, 1])
def test_not_present(access: Access, code: int, level: int) -> None:
    # Everything above denies everything, and the entry itself has every bit but P: neither counts.
    entries = {at: entry & ~(U | W) | NX for at, entry in USER_PAGE.items()} | {AT[level]: (1 << 64) - 2}
    found = fault(use(access, entries))
    assert found.error_code == code
    assert found.cr2 == ADDRESS
    (cause,) = found.causes
    assert (cause.denial, cause.level, cause.entry_address) == (Denial.NOT_PRESENT, level, AT[level])
    assert (cause.bits, cause.control) == (P, None)


@pytest.mark.parametrize(("access", "code"), STOPPED)
@pytest.mark.parametrize("level", [4, 3, 2, 1])
def test_reserved_bits(access: Access, code: int, level: int) -> None:
    entries = USER_PAGE | {AT[level]: USER_PAGE[AT[level]] & ~U | 1 << 40}
    found = fault(use(access, entries))
    assert found.error_code == code | 1 | 8
    (cause,) = found.causes
    assert (cause.denial, cause.level, cause.entry_address) == (Denial.RESERVED, level, AT[level])
    assert (cause.bits, cause.control) == (1 << 40, "MAXPHYADDR = 40")


@pytest.mark.parametrize(
    ("level", "bits", "mode", "control"),
    [
        (4, PS, MODE, None),
        (3, PS | 1 << 13, MODE, None),
        (1, NX, replace(MODE, nx_enabled=False), "EFER.NXE = 0"),
        (2, NX | 1 << 51, replace(MODE, nx_enabled=False), "MAXPHYADDR = 40, EFER.NXE = 0"),
        (3, PS, replace(MODE, huge_pages=False), "no 1-GByte pages"),
        (1, 1 << 32, replace(MODE, physical_bits=32), "MAXPHYADDR = 32"),
    ],
)
def test_what_makes_a_bit_reserved(level: int, bits: int, mode: PagingMode, control: str | None) -> None:
    entry = (0 if bits & PS else USER_PAGE[AT[level]]) | P | W | U | bits
    (cause,) = fault(use(READ, USER_PAGE | {AT[level]: entry}, replace(STATE, mode=mode))).causes
    assert (cause.level, cause.control) == (level, control)
    assert cause.bits == bits & ~(PS if bits & 1 << 13 else 0)


@pytest.mark.parametrize(("nxe", "smep", "bit"), [(0, 0, 0), (1, 0, 16), (0, 1, 16), (1, 1, 16)])
def test_the_fetch_bit_needs_nxe_or_smep(nxe: int, smep: int, bit: int) -> None:
    state = replace(STATE, mode=replace(MODE, nx_enabled=bool(nxe)), smep=bool(smep))
    assert fault(use(FETCH, {}, state)).error_code == bit
    assert fault(use(READ, {}, state)).error_code == 0
    assert fault(use(USER_FETCH, KERNEL_PAGE, state)).error_code == 1 | 4 | bit
    assert fault(use(USER_FETCH, USER_PAGE | {AT[3]: P | U | 1 << 40}, state)).error_code == 13 | bit


def test_error_codes_of_denied_rights() -> None:
    read_only = USER_PAGE | {AT[2]: USER_PAGE[AT[2]] & ~W}
    assert fault(use(WRITE, read_only)).error_code == 3
    assert fault(use(USER_WRITE, read_only)).error_code == 7
    assert fault(use(USER_READ, KERNEL_PAGE)).error_code == 5
    assert fault(use(FETCH, USER_PAGE | {AT[4]: USER_PAGE[AT[4]] | NX})).error_code == 17


@pytest.mark.parametrize(("bits", "code"), [(1, 0x21), (2, 0x23), (3, 0x23)])
def test_the_key_bit(bits: int, code: int) -> None:
    entries = USER_PAGE | {AT[1]: USER_PAGE[AT[1]] | 9 << 59}
    state = replace(STATE, pke=True, pkru=bits << 18)
    access = WRITE if code & 2 else READ
    assert fault(use(access, entries, state)).error_code == code
    # Also when the page denies as well (R19), never for a fetch, never without a complete walk.
    assert fault(use(WRITE, entries | {AT[3]: entries[AT[3]] & ~W}, state)).error_code == 0x23
    smep = replace(state, smep=True)
    assert fault(use(FETCH, entries, smep)).error_code == 0x11
    assert fault(use(access, entries | {AT[1]: entries[AT[1]] & ~P}, state)).error_code == code & 2


def test_a_user_access_that_a_supervisor_key_denies_as_well() -> None:
    # Open point O1: the letter of the manual, since the address has a key that denies.
    entries = KERNEL_PAGE | {AT[1]: KERNEL_PAGE[AT[1]] | 5 << 59}
    assert fault(use(USER_READ, entries, replace(STATE, pks=True, pkrs=1 << 10))).error_code == 0x25


# R21, R22: accessed and dirty.


@pytest.mark.parametrize("access", [READ, FETCH, USER_READ, USER_FETCH])
def test_a_read_or_fetch_sets_accessed_everywhere(access: Access) -> None:
    assert changed(allowed(use(access, USER_PAGE))) == dict.fromkeys(USER_PAGE, A)


def test_a_write_sets_dirty_in_the_leaf_alone() -> None:
    found = allowed(use(USER_WRITE, USER_PAGE))
    assert changed(found) == dict.fromkeys(USER_PAGE, A) | {AT[1]: A | D}
    assert [update.entry_address for update in found.updates] == [AT[4], AT[3], AT[2], AT[1]]
    assert found.updates[0] == EntryUpdate(PhysicalAddress(AT[4]), 0x2000 | P | W | U, 0x2000 | P | W | U | A)
    assert found.translation.physical == 0xABCDE568


def test_a_write_to_a_read_only_page_without_wp_sets_dirty() -> None:
    entries = USER_PAGE | {AT[1]: USER_PAGE[AT[1]] & ~W}
    assert changed(allowed(use(WRITE, entries, replace(STATE, wp=False))))[AT[1]] == A | D


def test_a_large_page_has_its_dirty_bit_in_the_pde() -> None:
    entries = USER_PAGE | {AT[2]: 0x4000_0000 | P | W | U | PS}
    assert changed(allowed(use(WRITE, entries))) == {AT[4]: A, AT[3]: A, AT[2]: A | D}


def test_entries_that_have_their_bits_already_do_not_change() -> None:
    entries = {at: entry | A for at, entry in USER_PAGE.items()}
    assert changed(allowed(use(READ, entries))) == {}
    assert changed(allowed(use(WRITE, entries))) == {AT[1]: D}
    # Bit 6 means nothing in an entry that maps no page.
    assert changed(allowed(use(WRITE, entries | {AT[3]: entries[AT[3]] | D}))) == {AT[1]: D}


def test_an_entry_used_at_every_level_is_one_word() -> None:
    # A recursive map: slot 0x11 of the top table refers to that table.
    at, entry = ROOT + 8 * 0x11, ROOT | P | W | U
    address = sum(0x11 << shift for shift in (39, 30, 21, 12)) | 0x18
    found = allowed(use(WRITE, {at: entry}, address=address))
    assert found.updates == (EntryUpdate(PhysicalAddress(at), entry, entry | A | D),)
    assert found.translation.physical == ROOT + 0x18


def test_what_a_fault_may_have_marked() -> None:
    def may(outcome: Outcome) -> dict[int, int]:
        return {update.entry_address: update.before ^ update.after for update in fault(outcome).may_update}

    assert may(use(WRITE, USER_PAGE | {AT[1]: 0})) == {AT[4]: A, AT[3]: A, AT[2]: A}
    assert may(use(WRITE, USER_PAGE | {AT[2]: P | W | 1 << 45})) == {AT[4]: A, AT[3]: A}
    assert may(use(WRITE, {})) == {}
    denied = USER_PAGE | {AT[1]: USER_PAGE[AT[1]] & ~W}
    assert may(use(WRITE, denied)) == dict.fromkeys(USER_PAGE, A)


# R20: accesses that cross a page.

SECOND = AT[1] + 8
LAST = VirtualAddress((ADDRESS | 0xFFF) - 2)
BOTH = USER_PAGE | {SECOND: 0x5000 | P | W | U}


def bytes_of(
    access: Access, entries: dict[int, int], address: int = LAST, size: int = 8
) -> tuple[Outcome, ...]:
    at = VirtualAddress(address)
    return access_bytes(lambda where: entries.get(where, 0), ROOT, at, size, STATE, access)


def test_both_pages_of_a_crossing_access() -> None:
    first, second = (allowed(outcome) for outcome in bytes_of(WRITE, BOTH))
    assert (first.translation.physical, second.translation.physical) == (0xABCDEFFD, 0x5000)
    assert changed(first) == dict.fromkeys(USER_PAGE, A) | {AT[1]: A | D}
    assert changed(second) == {SECOND: A | D}  # the tables above had their A from the first page


def test_the_second_page_faults_at_its_first_byte() -> None:
    first, second = bytes_of(WRITE, USER_PAGE)
    assert changed(allowed(first))[AT[1]] == A | D
    assert (fault(second).cr2, fault(second).error_code) == (LAST + 3, 2)


def test_the_first_page_faults_alone() -> None:
    (only,) = bytes_of(WRITE, BOTH | {AT[1]: 0})
    assert fault(only).cr2 == LAST


@pytest.mark.parametrize(("address", "size", "pages"), [(LAST, 3, 1), (LAST, 4, 2), (ADDRESS, 1, 1)])
def test_what_crosses(address: int, size: int, pages: int) -> None:
    assert len(bytes_of(READ, BOTH, address, size)) == pages


def test_a_table_of_itself_is_seen_as_written() -> None:
    # Both pages are mapped by entries of one table that is the first of these pages, too.
    second = allowed(bytes_of(READ, BOTH | {AT[3]: USER_PAGE[AT[3]] | A})[1])
    assert [update.entry_address for update in second.updates] == [SECOND]


def test_into_the_hole_of_addresses() -> None:
    top = {ROOT + 8 * 255: 0x2000 | P | W | U, 0x2FF8: 0x3000 | P | W | U, 0x3FF8: 0x4000 | P | W | U}
    assert bytes_of(READ, top | {0x4FF8: 0x9000 | P | U}, HOLE - 4) == (GeneralProtection(HOLE),)
    (inside,) = bytes_of(READ, top | {0x4FF8: 0x9000 | P | U}, HOLE - 4, 4)
    assert allowed(inside).translation.physical == 0x9FFC


def test_around_the_end_of_the_address_space() -> None:
    high = {
        ROOT + 8 * 511: 0x2000 | P | W,
        0x2FF8: 0x3000 | P | W,
        0x3FF8: 0x4000 | P | W,
        0x4FF8: 0x9000 | P,
    }
    low = {ROOT: 0x5000 | P, 0x5000: 0x6000 | P, 0x6000: 0x7000 | P, 0x7000: 0x8000 | P}
    outcomes = bytes_of(READ, high | low, (1 << 64) - 1, 2)
    assert [allowed(each).translation.physical for each in outcomes] == [0x9FFF, 0x8000]


def test_nothing_is_fetched_implicitly() -> None:
    with pytest.raises(ValueError, match="implicit"):
        Access(Operation.FETCH, implicit=True)
