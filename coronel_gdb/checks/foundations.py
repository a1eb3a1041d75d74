"""Findings about what all other checks stand on: locks, the frame manager's set-up, page table entries."""

from collections.abc import Iterable
from dataclasses import replace

from coronel_gdb.checks import catalogue
from coronel_gdb.checks.listed import listed_findings
from coronel_gdb.report import Finding
from model.invariants import boot, frame_manager, locks, table_entries
from model.invariants.base import Violation

_CODES = {
    boot.VARIABLE: catalogue.BOOT_VARIABLE,
    boot.NEXT_DEVICE: catalogue.NEXT_DEVICE,
    boot.MAP: catalogue.BOOT_MAP,
    boot.RING: catalogue.TRACE_RING,
    locks.WORD: catalogue.LOCK_WORD,
    frame_manager.MEMORY_END: catalogue.FRAME_MANAGER,
    frame_manager.NODE_COUNT: catalogue.FRAME_MANAGER,
    frame_manager.NODES: catalogue.FRAME_MANAGER,
    frame_manager.RANGES: catalogue.FRAME_MANAGER,
    table_entries.FORM: catalogue.PAGE_ENTRY,
    table_entries.LEADS: catalogue.PAGE_ENTRY,
    table_entries.IMAGE: catalogue.PAGE_ENTRY,
    table_entries.UNUSED: catalogue.PAGE_UNUSED,
}
_PHYSICAL = frozenset({catalogue.PAGE_ENTRY.code, catalogue.PAGE_UNUSED.code})


def foundation_findings(violations: Iterable[Violation]) -> list[Finding]:
    """One finding an invariant; where an entry lies is a physical address, which no `x` shows."""
    return [
        replace(finding, next_commands=("pagewalk --audit",)) if finding.code in _PHYSICAL else finding
        for finding in listed_findings(violations, _CODES)
    ]
