"""docs/spec.md names tests: all of them exist."""

import re

import pytest

from lab.paths import ROOT

NAMED = sorted(set(re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", (ROOT / "docs" / "spec.md").read_text())))


@pytest.mark.parametrize(("file", "name"), NAMED)
def test_a_test_that_the_specification_names_exists(file: str, name: str) -> None:
    assert re.search(rf"^def {name}\(", (ROOT / file).read_text(), re.M)


def test_the_table_is_there() -> None:
    assert len(NAMED) > 25
