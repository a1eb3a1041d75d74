"""Findings about the rights of an address space."""

from collections.abc import Iterable

from coronel_gdb.checks import catalogue
from coronel_gdb.checks.listed import listed_findings
from coronel_gdb.report import Finding
from model.invariants import paging as rules
from model.invariants.base import Violation

_CODES = {
    rules.WRITE_XOR_EXECUTE: catalogue.PAGE_RIGHTS,
    rules.KERNEL_PRIVATE: catalogue.PAGE_USER,
    rules.NULL_GUARD: catalogue.PAGE_NULL,
}


def page_findings(violations: Iterable[Violation]) -> list[Finding]:
    """One finding an invariant."""
    return listed_findings(violations, _CODES)
