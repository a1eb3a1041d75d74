"""The model against one formula, over combinations of bits, states and accesses: a draw with a fixed seed.

`make hardware` compares all of them.
"""

from dataclasses import replace

import pytest

from lab.hardware.combinations import CHUNKS, KUT, OWN, SETS, Attempt, Combinations, Modelled, compare_chunk
from lab.hardware.formula import Entry, Tables, formula
from lab.hardware.plan import SEED
from lab.hardware.run import Count

SHARE = 0.001
RULES = {"allowed", "denied by a key", "denied by rights", "not present", "reserved bit"}


@pytest.mark.parametrize("combinations", SETS, ids=lambda combinations: combinations.name)
def test_the_model_equals_the_formula(combinations: Combinations) -> None:
    count = Count()
    for chunk in range(CHUNKS):
        count.add(compare_chunk(combinations.name, chunk, SHARE, SEED))
    assert count.wrong == 0, "\n".join(count.shown)
    assert count.cases > 15_000
    assert set(count.tally.rules) == RULES


@pytest.mark.parametrize(("combinations", "size"), [(OWN, 38_817_792), (KUT, 19_169_280)])
def test_the_sets_are_as_large_as_they_are_said_to_be(combinations: Combinations, size: int) -> None:
    tables, uses = combinations.tables(), combinations.uses()
    assert len(set(tables)) == len(tables)
    assert len(set(uses)) == len(uses)
    # What is legal depends on EFER.NXE alone, of all that a use says.
    for sample in tables[:: len(tables) // 50]:
        assert len({(use.nxe, combinations.legal(sample, use)) for use in uses}) == 2
    with_nxe, without = (next(use for use in uses if use.nxe is nxe) for nxe in (True, False))
    half = len(uses) // 2
    counted = sum(
        half * (combinations.legal(sample, with_nxe) + combinations.legal(sample, without))
        for sample in tables
    )
    assert counted == size


def test_a_wrong_answer_is_seen() -> None:
    # What the formula says of a read-only page is not what the model says of a writable one.
    entry = Entry(p=True, a=False, w=True, u=True, d=False, nx=False)
    writable = Tables(entry, entry)
    for other in (
        replace(writable, upper_w=False),
        Tables(replace(entry, u=False), entry),
        Tables(entry, replace(entry, p=False)),
        Tables(entry, replace(entry, a=True, d=True)),
    ):
        modelled = Modelled(other)
        assert any(modelled.answer(Attempt.of(use)) != formula(writable, use) for use in OWN.uses())
