"""Who may use a page: rules R12 to R18, by hand and against a table written from the manual."""

from dataclasses import replace
from itertools import product
from typing import Any

import pytest

from model.access import Fault
from model.cpu_state import CpuState
from model.denial import Access, Denial, Operation, causes, denied, protection_key
from model.page_entry import Rights
from tests.model.access_tables import (
    ALL,
    AT,
    FETCH,
    IMPLICIT_READ,
    IMPLICIT_READ_AT_3,
    IMPLICIT_WRITE,
    KERNEL_PAGE,
    MODE,
    NX,
    READ,
    STATE,
    USER_FETCH,
    USER_PAGE,
    USER_READ,
    USER_WRITE,
    WRITE,
    U,
    W,
    page_of,
    use,
)

NOTHING = Denial(0)


def why(access: Access, entries: dict[int, int], state: CpuState = STATE) -> Denial:
    page = page_of(entries)
    return denied(page.rights, page.leaf, state, access)


def without(bit: int, level: int = 1) -> dict[int, int]:
    return USER_PAGE | {AT[level]: USER_PAGE[AT[level]] & ~bit}


def with_key(key: int, page: dict[int, int] = USER_PAGE, level: int = 1) -> dict[int, int]:
    return page | {AT[level]: page[AT[level]] | key << 59}


@pytest.mark.parametrize("level", [4, 3, 2, 1])
def test_any_level_takes_rights_away(level: int) -> None:
    for access in (USER_READ, USER_FETCH):
        assert why(access, without(U, level)) == Denial.SUPERVISOR_PAGE
    assert why(USER_WRITE, without(U, level)) == Denial.SUPERVISOR_PAGE
    assert why(USER_WRITE, without(W, level)) == Denial.READ_ONLY
    assert why(FETCH, USER_PAGE | {AT[level]: USER_PAGE[AT[level]] | NX}) == Denial.EXECUTE_DISABLE
    assert why(USER_READ, without(W, level)) == NOTHING


@pytest.mark.parametrize("access", ALL)
def test_nothing_is_denied_where_every_entry_allows(access: Access) -> None:
    assert why(access, USER_PAGE) == NOTHING


def test_write_protection_counts_for_supervisors_alone() -> None:
    loose = replace(STATE, wp=False)
    for access in (WRITE, IMPLICIT_WRITE):
        assert why(access, without(W)) == Denial.READ_ONLY
        assert why(access, without(W), loose) == NOTHING
    assert why(USER_WRITE, without(W), loose) == Denial.READ_ONLY
    assert why(READ, without(W)) == NOTHING
    assert why(FETCH, without(W)) == NOTHING


def test_smep() -> None:
    smep = replace(STATE, smep=True)
    assert why(FETCH, USER_PAGE, smep) == Denial.SMEP
    assert why(FETCH, KERNEL_PAGE, smep) == NOTHING
    for access in (READ, WRITE, USER_FETCH, USER_READ):
        assert why(access, USER_PAGE, smep) == NOTHING


def test_smap() -> None:
    smap = replace(STATE, smap=True)
    for access in (READ, WRITE, IMPLICIT_READ, IMPLICIT_WRITE, IMPLICIT_READ_AT_3):
        assert why(access, USER_PAGE, smap) == Denial.SMAP
        assert why(access, KERNEL_PAGE, smap) == NOTHING
    for access in (FETCH, USER_READ, USER_WRITE, USER_FETCH):
        assert why(access, USER_PAGE, smap) == NOTHING


def test_ac_opens_explicit_accesses_alone() -> None:
    opened = replace(STATE, smap=True, ac=True)
    assert why(READ, USER_PAGE, opened) == NOTHING
    assert why(WRITE, USER_PAGE, opened) == NOTHING
    for access in (IMPLICIT_READ, IMPLICIT_WRITE, IMPLICIT_READ_AT_3):
        assert why(access, USER_PAGE, opened) == Denial.SMAP
        assert why(access, USER_PAGE, replace(opened, smap=False)) == NOTHING


def test_an_implicit_access_at_cpl_3_is_a_supervisor_one() -> None:
    assert not IMPLICIT_READ_AT_3.user_mode
    assert USER_READ.user_mode
    assert why(IMPLICIT_READ_AT_3, KERNEL_PAGE) == NOTHING


@pytest.mark.parametrize("key", range(16))
def test_each_key_has_two_bits(key: int) -> None:
    state = replace(STATE, pke=True)
    assert protection_key(with_key(key)[AT[1]]) == key
    for bits, read, write in (
        (0, NOTHING, NOTHING),
        (1, Denial.KEY_ACCESS, Denial.KEY_ACCESS),
        (2, NOTHING, Denial.KEY_WRITE),
        (3, Denial.KEY_ACCESS, Denial.KEY_ACCESS | Denial.KEY_WRITE),
    ):
        denying = replace(state, pkru=bits << (2 * key))
        others = replace(state, pkru=(bits << (2 * key)) ^ 0xFFFF_FFFF & ~(3 << (2 * key)))
        for checked in (denying, others):
            assert why(READ, with_key(key), checked) == read
            assert why(USER_READ, with_key(key), checked) == read
            assert why(WRITE, with_key(key), checked) == write
            assert why(USER_WRITE, with_key(key), checked) == write
            assert why(FETCH, with_key(key), checked) == NOTHING
            assert why(USER_FETCH, with_key(key), checked) == NOTHING
    assert why(READ, with_key(key), replace(STATE, pkru=0xFFFF_FFFF)) == NOTHING


def test_the_address_chooses_the_register() -> None:
    both = replace(STATE, pke=True, pks=True)
    for page, register, other in ((USER_PAGE, "pkru", "pkrs"), (KERNEL_PAGE, "pkrs", "pkru")):
        entries = with_key(3, page)
        denying: dict[str, Any] = {register: 1 << 6}
        harmless: dict[str, Any] = {other: 0xFFFF_FFFF}
        disabled: dict[str, Any] = {"pke" if register == "pkru" else "pks": False}
        assert why(READ, entries, replace(both, **denying)) == Denial.KEY_ACCESS
        assert why(READ, entries, replace(both, **harmless)) == NOTHING
        assert why(READ, entries, replace(both, **denying, **disabled)) == NOTHING


def test_keys_above_the_leaf_are_ignored() -> None:
    state = replace(STATE, pke=True, pkru=0xFFFF_FFFC)
    for level in (4, 3, 2):
        assert why(READ, with_key(15, level=level), state) == NOTHING


def test_a_key_denies_supervisor_writes_with_wp_alone() -> None:
    state = replace(STATE, pke=True, pkru=0xAAAA_AAAA)
    assert why(WRITE, USER_PAGE, state) == Denial.KEY_WRITE
    assert why(WRITE, USER_PAGE, replace(state, wp=False)) == NOTHING
    assert why(USER_WRITE, USER_PAGE, replace(state, wp=False)) == Denial.KEY_WRITE


def allowed_by_the_manual(rights: Rights, key_bits: tuple[int, int], state: CpuState, access: Access) -> bool:
    """SDM §4.6.1 and §4.6.2 read sentence by sentence, each a clause; key bits are (AD, WD) or (0, 0)."""
    data = access.operation is not Operation.FETCH
    writes = access.operation is Operation.WRITE
    supervisor = not access.user or access.implicit
    access_disabled, write_disabled = key_bits
    key_allows_data = not access_disabled and not (write_disabled and writes and (not supervisor or state.wp))
    if supervisor and not rights.user:
        clauses = {
            Operation.READ: key_allows_data,
            Operation.WRITE: key_allows_data and (not state.wp or rights.writable),
            Operation.FETCH: rights.executable,
        }
    elif supervisor:
        opened = not state.smap or (state.ac and not access.implicit)
        clauses = {
            Operation.READ: opened and key_allows_data,
            Operation.WRITE: opened and key_allows_data and (not state.wp or rights.writable),
            Operation.FETCH: not state.smep and rights.executable,
        }
    else:
        clauses = {
            Operation.READ: rights.user and key_allows_data,
            Operation.WRITE: rights.user and rights.writable and key_allows_data,
            Operation.FETCH: rights.user and rights.executable,
        }
    assert data or not writes
    return bool(clauses[access.operation])


def test_every_combination_against_the_manual() -> None:
    looked_at = 0
    accesses = (*ALL, IMPLICIT_READ_AT_3)
    for wp, smep, smap, ac, pke, pks in product((False, True), repeat=6):
        state = CpuState(MODE, wp=wp, smep=smep, smap=smap, ac=ac, pke=pke, pks=pks)
        for user, writable, executable in product((False, True), repeat=3):
            rights = Rights(writable=writable, user=user, executable=executable)
            for bits, access in product(range(16), accesses):
                checked = replace(state, pkru=(bits & 3) << 14, pkrs=bits >> 2 << 14)
                register = (pke and bits & 3) if user else (pks and bits >> 2)
                key_bits = (register & 1, register >> 1)
                expected = allowed_by_the_manual(rights, key_bits, checked, access)
                assert (denied(rights, 7 << 59, checked, access) == NOTHING) == expected
                looked_at += 1
    assert looked_at == 64 * 8 * 16 * 9


# What an explanation names.


def test_every_entry_that_denies_is_named() -> None:
    entries = USER_PAGE | {AT[4]: USER_PAGE[AT[4]] & ~(U | W), AT[1]: USER_PAGE[AT[1]] & ~W}
    found = use(USER_WRITE, entries)
    assert isinstance(found, Fault)
    assert [(cause.denial, cause.level, cause.entry_address, cause.bits) for cause in found.causes] == [
        (Denial.SUPERVISOR_PAGE, 4, AT[4], U),
        (Denial.READ_ONLY, 4, AT[4], W),
        (Denial.READ_ONLY, 1, AT[1], W),
    ]
    assert {cause.control for cause in found.causes} == {None}


@pytest.mark.parametrize(
    ("access", "entries", "state", "denial", "bits", "control"),
    [
        (WRITE, without(W), STATE, Denial.READ_ONLY, W, "CR0.WP = 1"),
        (FETCH, USER_PAGE, replace(STATE, smep=True), Denial.SMEP, U, "CR4.SMEP = 1"),
        (READ, USER_PAGE, replace(STATE, smap=True), Denial.SMAP, U, "CR4.SMAP = 1, RFLAGS.AC = 0"),
        (
            IMPLICIT_READ, USER_PAGE, replace(STATE, smap=True, ac=True),
            Denial.SMAP, U, "CR4.SMAP = 1, implicit access",
        ),
        (
            READ, with_key(4), replace(STATE, pke=True, pkru=1 << 8),
            Denial.KEY_ACCESS, 15 << 59, "PKRU.AD4 = 1",
        ),
        (
            WRITE, with_key(11, KERNEL_PAGE), replace(STATE, pks=True, pkrs=2 << 22),
            Denial.KEY_WRITE, 15 << 59, "IA32_PKRS.WD11 = 1",
        ),
        (FETCH, USER_PAGE | {AT[1]: USER_PAGE[AT[1]] | NX}, STATE, Denial.EXECUTE_DISABLE, NX, None),
    ],
)  # fmt: skip
def test_what_decides_is_named(
    access: Access, entries: dict[int, int], state: CpuState, denial: Denial, bits: int, control: str | None
) -> None:
    found = use(access, entries, state)
    assert isinstance(found, Fault)
    (cause,) = found.causes
    assert (cause.denial, cause.level, cause.entry_address) == (denial, 1, AT[1])
    assert (cause.bits, cause.control) == (bits, control)


def test_the_explanation_has_every_denial_and_no_other() -> None:
    page = page_of(with_key(2, without(W)))
    state = replace(STATE, smap=True, pke=True, pkru=3 << 4)
    denial = denied(page.rights, page.leaf, state, WRITE)
    assert denial == Denial.READ_ONLY | Denial.SMAP | Denial.KEY_ACCESS | Denial.KEY_WRITE
    named = NOTHING
    for cause in causes(denial, page, state, WRITE):
        named |= cause.denial
        assert cause.denial.label
    assert named == denial


def test_each_denial_has_its_own_words() -> None:
    assert len({denial.label for denial in Denial}) == len(Denial) == 9
    assert Denial.SMAP.label == "supervisor access to a user page (SMAP)"
