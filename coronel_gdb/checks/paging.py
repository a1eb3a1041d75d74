"""Findings about an address space: its rights, its tables, and who walks it otherwise."""

from collections.abc import Iterable
from dataclasses import replace

from coronel_gdb.checks import catalogue
from coronel_gdb.checks.listed import listed_findings
from coronel_gdb.report import Finding
from model.invariants import paging
from model.invariants.base import Invariant, Violation

QEMU_AGREES = Invariant(
    "paging.qemu", "QEMU's own walk gives the same page", "both walk the same tables by SDM vol. 3A §4.5"
)
_CODES = {
    paging.WRITE_XOR_EXECUTE: catalogue.PAGE_RIGHTS,
    paging.KERNEL_PRIVATE: catalogue.PAGE_USER,
    paging.NULL_GUARD: catalogue.PAGE_NULL,
    paging.TABLE_PRIVATE: catalogue.PAGE_TABLE,
    paging.WELL_FORMED: catalogue.PAGE_RESERVED,
    QEMU_AGREES: catalogue.PAGE_WALKS,
}


def page_findings(violations: Iterable[Violation]) -> list[Finding]:
    """One finding an invariant."""
    findings = listed_findings(violations, _CODES)
    return [replace(finding, next_commands=(f"pagewalk {finding.subject:#x}",)) for finding in findings]


def disagreement(address: int, error: int, expected: str, suspects: str) -> Finding:
    """A page fault that the tables do not explain."""
    code = catalogue.PAGE_FAULT
    lines = (
        f"fault    error code {error:#x} at {address:#x}",
        f"tables   {expected}",
        f"suspect  {suspects}",
    )
    data = {"error_code": error, "expected": expected, "suspects": suspects}
    return Finding(code.code, code.title, address, lines, data, (f"pagewalk {address:#x}",))
