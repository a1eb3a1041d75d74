"""What raw registers mean for paging: rules R1, R5 and R24."""

from dataclasses import replace
from typing import Any

import pytest

from model.cpu_state import CpuState, PagingKind, Registers, cpu_state, paging_kind, pcid
from model.page_entry import PagingMode

PG, PE, WP = 1 << 31, 1, 1 << 16
PAE, LA57, LMA, NXE = 1 << 5, 1 << 12, 1 << 10, 1 << 11
LONG = Registers(PG | PE, PAE, LMA)


@pytest.mark.parametrize(
    ("cr0", "cr4", "efer", "kind"),
    [
        (0, PAE | LA57, LMA, PagingKind.OFF_REAL),
        (PE, PAE | LA57, LMA, PagingKind.OFF_PROTECTED),
        (PG | PE, 0, 0, PagingKind.BITS_32),
        (PG | PE, 1 << 4, 0, PagingKind.BITS_32),
        (PG | PE, PAE, 0, PagingKind.PAE),
        (PG | PE, PAE | LA57, NXE, PagingKind.PAE),
        (PG | PE, PAE, LMA, PagingKind.FOUR_LEVEL),
        (PG | PE, PAE | 1 << 4, LMA, PagingKind.FOUR_LEVEL),
        (PG | PE, PAE | LA57, LMA, PagingKind.FIVE_LEVEL),
    ],
)
def test_kinds_of_paging(cr0: int, cr4: int, efer: int, kind: PagingKind) -> None:
    assert paging_kind(cr0, cr4, efer) is kind
    assert kind.walked == (kind in (PagingKind.FOUR_LEVEL, PagingKind.FIVE_LEVEL))
    if not kind.walked:
        with pytest.raises(ValueError, match=kind.value.partition("(")[0]):
            cpu_state(Registers(cr0, cr4, efer))


def test_nothing_set() -> None:
    assert cpu_state(LONG) == CpuState(PagingMode(4, 52, nx_enabled=False, huge_pages=True))


@pytest.mark.parametrize(
    ("register", "bit", "name"),
    [
        ("cr0", 16, "wp"), ("cr4", 7, "pge"), ("cr4", 17, "pcide"), ("cr4", 20, "smep"), ("cr4", 21, "smap"),
        ("cr4", 22, "pke"), ("cr4", 24, "pks"), ("rflags", 18, "ac"),
    ],
)  # fmt: skip
def test_each_bit(register: str, bit: int, name: str) -> None:
    plain = getattr(LONG, register)
    found = cpu_state(replace(LONG, **{register: plain | 1 << bit}))
    expected: dict[str, Any] = {name: True}
    assert found == replace(cpu_state(LONG), **expected)


def test_the_mode_of_the_walk() -> None:
    found = cpu_state(
        Registers(PG | PE, PAE | LA57, LMA | NXE, 0, 0x1_2345_6789, 0x2_3456_789A),
        physical_bits=39,
        huge_pages=False,
    )
    assert found.mode == PagingMode(5, 39, nx_enabled=True, huge_pages=False)
    assert (found.pkru, found.pkrs) == (0x2345_6789, 0x3456_789A)


@pytest.mark.parametrize("name", ["pkru", "pkrs"])
def test_key_registers_have_32_bits(name: str) -> None:
    def state(value: Any) -> CpuState:
        return CpuState(PagingMode(), **{name: value})

    assert getattr(state(0xFFFF_FFFF), name) == 0xFFFF_FFFF
    for value in (-1, 1 << 32):
        with pytest.raises(ValueError, match=name.upper()):
            state(value)


def test_the_low_bits_of_cr3() -> None:
    assert pcid(0x1234_5ABC, CpuState(PagingMode(), pcide=True)) == 0xABC
    assert pcid(0x1234_5ABC, CpuState(PagingMode())) == 0
