"""The model against one formula, over combinations of bits, states and accesses.

A sample with a fixed seed; `make hardware` compares all 38,817,792 (FORMULA_SHARE=1).
"""

import os
import random

from model.access import Allowed, Fault, judge
from model.cpu_state import CpuState
from model.denial import Access, Operation
from model.page_entry import PAGE_SIZE, PagingMode
from model.paging import walk
from model.types import PhysicalAddress, VirtualAddress
from tests.model.access_formula import (
    COMBINATIONS,
    KEY,
    PHYSICAL_BITS,
    Answer,
    Combination,
    combination,
    formula,
)

SEED = 0x5EED
SHARE = float(os.environ.get("FORMULA_SHARE", "0.001"))
PML4E, PDPTE, PDE, PTE = 0x1000, 0x2000, 0x3000, 0x4000
ADDRESS = VirtualAddress(0x123)


def answer(c: Combination) -> Answer:
    """The same question to the model."""
    key = KEY << 59
    entries = {PML4E: 0x2007, PDPTE: 0x3007}
    if c.pte is None:
        entries[PDE] = c.pde.raw | PAGE_SIZE | key
    else:
        entries |= {PDE: c.pde.raw | PTE, PTE: c.pte.raw | 0x5000 | key}
    keys = (c.ad | c.wd << 1) << (2 * KEY)
    state = CpuState(
        PagingMode(4, PHYSICAL_BITS, c.nxe),
        wp=c.wp, smep=c.smep, smap=c.smap, ac=c.ac, pke=c.pke, pks=c.pks, pkru=keys, pkrs=keys,
    )  # fmt: skip
    access = Access(Operation(c.operation), user=c.user)
    outcome = judge(walk(entries.get, PhysicalAddress(PML4E), ADDRESS, state.mode), state, access)
    if isinstance(outcome, Fault):
        return Answer(outcome.error_code, ())
    assert isinstance(outcome, Allowed)
    after = entries | {update.entry_address: update.after for update in outcome.updates}
    last = (PDE,) if c.pte is None else (PDE, PTE)
    return Answer(None, tuple((bool(after[at] & 0x20), bool(after[at] & 0x40)) for at in last))


def test_the_model_equals_the_formula() -> None:
    chance = random.Random(SEED)
    numbers = (
        range(COMBINATIONS) if SHARE >= 1 else chance.sample(range(COMBINATIONS), round(COMBINATIONS * SHARE))
    )
    allowed = 0
    for number in numbers:
        c = combination(number)
        expected = formula(c)
        assert answer(c) == expected, (number, c)
        allowed += expected.error is None
    # Both sides allow some: of all combinations about one in a hundred.
    assert 0.005 < allowed / len(numbers) < 0.02


def test_every_number_is_another_combination() -> None:
    assert COMBINATIONS == 38_817_792
    numbers = [*range(0, COMBINATIONS, 9_973), COMBINATIONS - 1]
    assert len({combination(number) for number in numbers}) == len(numbers)
