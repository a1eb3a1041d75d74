"""Random sequences of operations, executed by the real kernel and by the model: results, serial lines, memory."""

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from lab.errors import LabError
from lab.executor import Executor, KernelStopped
from lab.modelled import Modelled, ModelStopped
from lab.orders import Code, Order, Result, text
from lab.pair import PROGRAMS, Pair
from lab.sequences import CHOICES, KINDS, sequence

CHOICE = st.integers(0, CHOICES - 1)
DRAWS = st.lists(st.tuples(st.integers(0, KINDS - 1), CHOICE, CHOICE, CHOICE), min_size=1, max_size=100)
KERNEL = 0x341000
FIRST_REGION = 0xFFFF_FFFF_8040_0000


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    with Executor(programs=PROGRAMS) as executor:
        yield Pair(executor, Modelled(executor))


def order(code: Code, *arguments: int | Result) -> Order:
    return Order(code, arguments)


@settings(
    max_examples=300,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example],
    phases=[Phase.generate, Phase.shrink],
)
@given(draws=DRAWS)
def test_after_any_sequence_kernel_and_model_agree(
    pair: Pair, draws: list[tuple[int, int, int, int]]
) -> None:
    pair.modelled.reset()
    orders = sequence(pair.modelled.machine, draws)
    found = pair.compare(orders)
    assert not found, text(orders) + "\n" + "\n".join(found)


def test_sequences_do_what_they_are_for(pair: Pair) -> None:
    """Most orders succeed, every kind of refusal occurs, and so does every order."""
    given_codes, refused, given_orders = set(), set(), 0
    for seed in range(40):
        pair.modelled.reset()
        draws = [
            (seed * 7 + at, at * 40503 % CHOICES, at * 30011 % CHOICES, at * 7919 % CHOICES)
            for at in range(KINDS)
        ]
        orders = sequence(pair.modelled.machine, draws)
        assert pair.compare(orders) == []
        given_orders += len(orders)
        given_codes |= {one.code for one in orders}
        refused |= {line.split(": ")[2] for line in pair.modelled.lines}
    assert given_codes == set(Code)
    assert refused >= {
        "out of memory", "virtual space exhausted", "corruption detected", "double free", "invalid pointer"
    }  # fmt: skip


# What such sequences have found, made short: docs/divergences.md tells each.
FOUND = {
    "map beyond 52 bits": [order(Code.PAGING_MAP, KERNEL, 0xFFFF_FFFF_A000_0000, 1 << 63, 1)],
}
