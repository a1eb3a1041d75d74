"""The catalogue of findings and docs/findings.md say the same."""

import re

from coronel_gdb.checks import catalogue
from coronel_gdb.checks.catalogue import Code
from lab.paths import ROOT
from lab.scenarios import scenarios

CODES = [value for value in vars(catalogue).values() if isinstance(value, Code)]
ROWS = re.findall(
    r"^\| ([A-Z]+\d{3}) \| (.+?) \| (.+?) \| (.+?) \| (.+?) \|$",
    (ROOT / "docs" / "findings.md").read_text(),
    re.M,
)


def test_a_code_has_one_meaning() -> None:
    assert len({code.code for code in CODES}) == len({code.title for code in CODES}) == len(CODES)


def test_every_code_is_documented_in_its_own_words() -> None:
    assert [row[:3] for row in ROWS] == [(code.code, code.title, code.meaning) for code in CODES]
    assert all(cause and specimen for *_, cause, specimen in ROWS)


def test_the_scenarios_that_are_named_exist_and_show_the_finding() -> None:
    for code, _, _, _, specimen in ROWS:
        for name in re.findall(r"`(\w+)`", specimen) if specimen.startswith("scenario") else ():
            assert code in {item for codes in scenarios()[name].findings.values() for item in codes}
