"""A draw of the corpus (docs/detection.md): nothing missed, no crash, no hang, no false alarm."""

from random import Random

import pytest

from lab.corpus import clean
from lab.corpus.run import damage_one
from lab.corpus.snapshot import Stop
from lab.corpus.tally import Tally

CASES = 70
STOPS = 12


@pytest.mark.parametrize(
    "stop",
    [
        Stop("scenario=mixed seed=17 ops=1500", "64M"),
        Stop("scenario=processes", "32M", ("hoard pause", "leave", "pause z")),
    ],
    ids=str,
)
def test_damages_are_detected_where_they_are(stop: Stop) -> None:
    tally: Tally = damage_one(stop, CASES, seed=20)
    assert tally.sound, tally.wrong_ones()
    assert tally.located >= 0.98 * tally.total, tally.wrong_ones()
    assert tally.attributed[True] >= 0.9 * tally.attributed.total()
    assert tally.total + sum(tally.silent.values()) == CASES


@pytest.mark.parametrize("name", list(clean.LONG))
def test_healthy_kernels_stopped_at_random_give_no_finding(name: str) -> None:
    looks = list(clean.stops(name, Random(f"test {name}"), STOPS))
    assert len(looks) == STOPS
    assert [text for said in looks for text in said if text.startswith(clean.ALARM)] == []
    assert sum(said["clean"] for said in looks) > 0
