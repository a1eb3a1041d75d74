"""Findings about the list of processes and what each says of itself."""

from collections.abc import Iterable

from coronel_gdb.checks import catalogue
from coronel_gdb.checks.listed import listed_findings
from coronel_gdb.report import Finding
from model.invariants import processes as rules
from model.invariants.base import Violation

_CODES = {
    rules.LIST: catalogue.PROC_LIST,
    rules.LISTED: catalogue.PROC_LEFT_OUT,
    rules.ORDER: catalogue.PROC_LIST,
    rules.STATE: catalogue.PROC_FIELD,
    rules.NAME: catalogue.PROC_FIELD,
    rules.DIRECTORY: catalogue.PROC_FIELD,
    rules.RANGES: catalogue.PROC_FIELD,
    rules.PAGE_PLACE: catalogue.PROC_PAGES,
    rules.PAGE_RIGHTS: catalogue.PROC_PAGES,
    rules.PAGE_MISSING: catalogue.PROC_PAGES,
}


def process_findings(violations: Iterable[Violation]) -> list[Finding]:
    """One finding an invariant."""
    return listed_findings(violations, _CODES)
