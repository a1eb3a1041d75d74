"""docs/examples.md: a real report for every code, made anew, or the reason why there is none."""

import re

import pytest

from lab.documents.examples.page import CODES, EXAMPLES_PAGE, examples_page
from lab.documents.examples.specimens import EXAMPLES, REASONS, Example
from lab.errors import LabError


def test_every_code_has_an_example_or_a_reason() -> None:
    assert set(EXAMPLES) | set(REASONS) == set(CODES)
    assert set(EXAMPLES) & set(REASONS) == set()
    assert all(REASONS.values())


def test_the_examples_are_true() -> None:
    assert EXAMPLES_PAGE.read_text() == examples_page(), "run `make capture`"


def test_every_example_shows_the_finding_of_its_code() -> None:
    parts = re.split(r"^### ", EXAMPLES_PAGE.read_text(), flags=re.M)[1:]
    shown = {part.partition("\n")[0]: re.search(r"^```text\n(\w+) (.*) at 0x", part, re.M) for part in parts}
    assert set(shown) == set(EXAMPLES)
    for code, first in shown.items():
        assert first is not None
        assert first.groups() == (code, CODES[code].title)


def test_an_example_that_shows_something_else_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    where = EXAMPLES["HEAP002"].where
    for code in list(EXAMPLES):
        monkeypatch.delitem(EXAMPLES, code)
    monkeypatch.setitem(EXAMPLES, "HEAP006", Example(where, "heapcheck"))
    with pytest.raises(LabError, match="HEAP006: scenario=underflow: heapcheck finds HEAP002"):
        examples_page()
