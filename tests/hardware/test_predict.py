"""What the harness notes is compared field by field, and nothing that is predicted is left out silently."""

import random
from collections.abc import Iterator

import numpy as np
import pytest

from lab.hardware.cases import factorial, flips
from lab.hardware.drawn import drawn
from lab.hardware.engines import Bochs, Engine, Kvm, Tcg
from lab.hardware.expected import Expected, differences
from lab.hardware.predict import DESCRIPTOR_PRESENT, Predictor
from lab.hardware.tables import SHAPES, address_of, group_of, tables_of
from lab.hardware.vectors import RESULT_BYTES, Case, Flag, Group, Kind, results
from model.access import Allowed, Fault, GeneralProtection, Outcome, perform
from model.cpu_state import CpuState
from model.denial import Access, Operation
from model.page_entry import PagingMode
from model.types import PhysicalAddress, VirtualAddress

MANUAL = Engine(unbacked=0)


def as_predicted(expected: list[Expected]) -> "np.ndarray[tuple[int], np.dtype[np.void]]":
    """The results of a guest in which all goes as predicted."""
    found = results(bytes(RESULT_BYTES * len(expected))).copy()
    for number, each in enumerate(expected):
        for name in ("cr2", "value", "after0", "after1", "error", "vector", "where"):
            found[number][name] = getattr(each, name)
        found[number]["flags"] = each.must
    return found


@pytest.fixture(scope="module")
def some() -> list[Expected]:
    predictor, expected = Predictor(MANUAL), []
    for group in flips(MANUAL, random.Random(1), 0.0002):
        expected += predictor.take(group)
    return expected


def test_results_as_predicted_differ_in_nothing(some: list[Expected]) -> None:
    assert len(some) > 1000
    assert len(differences(as_predicted(some), some)) == 0


@pytest.mark.parametrize("name", ["after0", "after1", "error", "vector", "where", "changed"])
def test_every_field_counts_in_every_case(name: str, some: list[Expected]) -> None:
    found = as_predicted(some)
    found[name] ^= 1
    assert len(differences(found, some)) == len(some)


def test_fields_that_count_in_some_cases(some: list[Expected]) -> None:
    for name, mask in (("cr2", "cr2_mask"), ("value", "value_mask")):
        found = as_predicted(some)
        found[name] ^= 1
        counting = [number for number, each in enumerate(some) if getattr(each, mask) & 1]
        assert list(differences(found, some)) == counting
        assert 0 < len(counting) < len(some)


def test_flags_count_but_those_left_open(some: list[Expected]) -> None:
    for bit in range(8):
        found = as_predicted(some)
        found["flags"] ^= 1 << bit
        closed = [number for number, each in enumerate(some) if not each.may >> bit & 1]
        assert list(differences(found, some)) == closed


def _asked_of_the_model(group: Group, case: Case, engine: Engine) -> Outcome:
    flags = Flag(case.flags)
    state = CpuState(
        PagingMode(engine.levels, engine.physical_bits, Flag.NXE in flags, engine.huge_pages),
        wp=Flag.WP in flags, smep=Flag.SMEP in flags, smap=Flag.SMAP in flags, pke=Flag.PKE in flags,
        pks=Flag.PKS in flags, ac=Flag.AC in flags, pkru=case.pkru, pkrs=case.pkrs,
    )  # fmt: skip
    writes, fetches = (Kind.WRITE1, Kind.WRITE8, Kind.MODIFY), (Kind.FETCH,)
    operation = Operation.WRITE if case.kind in writes else Operation.READ
    access = Access(
        Operation.FETCH if case.kind in fetches else operation,
        user=Flag.CPL3 in flags,
        implicit=case.kind == Kind.LOAD,
    )
    root, at = PhysicalAddress(group.cr3), VirtualAddress(group.linear)
    return perform(lambda where: group.entries.get(where, 0), root, at, state, access)


def _groups(engine: Engine) -> Iterator[Group]:
    yield from flips(engine, random.Random(2), 0.0001)
    yield from factorial(engine, random.Random(3), 0.0002)
    yield from (group for group in drawn(engine, random.Random(4), 0.001) if not group.crosses)


@pytest.mark.parametrize("levels", [4, 5])
def test_predictions_by_the_manual_are_the_model_whole(levels: int) -> None:
    # The predictor asks the parts of the model and keeps what it worked out; this asks the whole.
    engine = Engine(levels=levels, unbacked=0)
    predictor, kinds = Predictor(engine), set()
    for group in _groups(engine):
        expected = predictor.take(group)
        assert len(expected) == len(group.cases)
        for case, told in zip(group.cases, expected, strict=True):
            if case.kind == Kind.LOAD and group.hint_value & DESCRIPTOR_PRESENT:
                continue  # two accesses
            outcome = _asked_of_the_model(group, case, engine)
            kinds.add(type(outcome))
            match outcome:
                case Fault():
                    assert (told.vector, told.error, told.cr2) == (14, outcome.error_code, outcome.cr2)
                case GeneralProtection():
                    assert told.vector == 13
                case _:
                    assert isinstance(outcome, Allowed)
                    assert told.vector != 14
                    assert told.must == _marks(group, outcome)
    assert kinds == {Fault, Allowed}


def _marks(group: Group, outcome: Allowed) -> int:
    """A and D of every entry afterwards, as the harness notes them."""
    after = group.entries | {update.entry_address: update.after for update in outcome.updates}
    return sum((entry >> 5 & 3) << (2 * number) for number, entry in enumerate(after.values()))


def test_what_cannot_be_run_is_counted() -> None:
    shape = SHAPES[0]
    linear = address_of(shape)
    entries = tables_of(shape)
    leaf = list(entries)[-1]
    cases = [Case(kind, Flag.WP) for kind in (Kind.READ8, Kind.WRITE8, Kind.FETCH)]
    # A page outside the test's memory may be read, not written or run.
    predictor = Predictor(Tcg())
    outside = group_of(shape, entries | {leaf: 7 | 0x30_0000_0000}, list(cases), linear, random.Random(1))
    assert len(predictor.take(outside)) == 1
    assert [case.kind for case in outside.cases] == [Kind.READ8]
    assert predictor.total().omitted == {"would use memory outside the test's": 2}
    # A table in the harness's own memory is not known.
    predictor = Predictor(Tcg())
    top = next(iter(entries))
    inside = group_of(shape, entries | {top: 7 | 0x10_0000}, list(cases), linear, random.Random(1))
    assert predictor.take(inside) == []
    assert predictor.total().omitted == {"the walk reads memory outside the test's": 3}


@pytest.mark.parametrize("engine", [Bochs(), Kvm()], ids=lambda engine: engine.name)
def test_no_engine_is_put_into_a_state_that_it_has_not(engine: Engine) -> None:
    for group in drawn(engine, random.Random(5), 0.002):
        for case in group.cases:
            assert case.kind in engine.kinds
            assert case.flags & ~engine.flags == 0
