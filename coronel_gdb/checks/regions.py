"""Findings about the list of free virtual regions."""

from collections.abc import Iterable

from coronel_gdb.checks import catalogue
from coronel_gdb.checks.listed import listed_findings
from coronel_gdb.report import Finding
from model.invariants import regions as rules
from model.invariants.base import Violation

_CODES = {
    rules.ALIGNED: catalogue.REGION_ALIGNED,
    rules.INSIDE: catalogue.REGION_INSIDE,
    rules.ORDER: catalogue.REGION_ORDER,
    rules.BACK: catalogue.REGION_LINK,
    rules.LAST: catalogue.REGION_LINK,
    rules.END: catalogue.REGION_LINK,
    rules.COUNT: catalogue.REGION_COUNT,
}


def region_findings(violations: Iterable[Violation]) -> list[Finding]:
    """One finding an invariant."""
    return listed_findings(violations, _CODES)
