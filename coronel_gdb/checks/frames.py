"""Findings about the list of free frames."""

from coronel_gdb.checks import catalogue
from coronel_gdb.checks.catalogue import Code
from coronel_gdb.report import Finding
from model.invariants import frames as rules
from model.invariants.base import Invariant, Violation
from model.invariants.frames import FrameVerdict

_CODES: dict[Invariant, Code] = {
    rules.NODE_PLACE: catalogue.FRAME_PLACE,
    rules.NODE_OWNER: catalogue.FRAME_OWNER,
    rules.MANAGED: catalogue.FRAME_UNMANAGED,
    rules.CYCLE: catalogue.FRAME_CYCLE,
    rules.COUNT: catalogue.FRAME_COUNT,
    rules.LOST: catalogue.FRAME_LOST,
    rules.END: catalogue.FRAME_LINK,
}
_SHOWN = 8


def frame_findings(verdict: FrameVerdict) -> list[Finding]:
    """One finding an invariant: a damaged list tends to break one of them in many nodes at once."""
    by_invariant: dict[Invariant, list[Violation]] = {}
    for violation in verdict.violations:
        by_invariant.setdefault(violation.invariant, []).append(violation)
    return [_finding(invariant, violations) for invariant, violations in by_invariant.items()]


def _finding(invariant: Invariant, violations: list[Violation]) -> Finding:
    code = _CODES[invariant]
    lines = [_line(violation) for violation in violations[:_SHOWN]]
    if len(violations) > _SHOWN:
        lines.append(f"… and {len(violations) - _SHOWN} more nodes (all of them with --json)")
    lines.append(f"rule     {invariant.formula} ({invariant.reason})")
    nodes = [
        {"node": v.subject, "field": v.field, "found": v.found, "expected": v.expected, "because": v.because}
        for v in violations
    ]
    subject = violations[0].subject
    return Finding(
        code.code,
        code.title,
        subject,
        tuple(lines),
        {"invariant": invariant.id, "nodes": nodes},
        (f"x/2gx {subject:#x}",),
    )


def _line(violation: Violation) -> str:
    wanted = "" if violation.expected is None else f", expected {violation.expected:#x}"
    return f"{violation.subject:#x} {violation.field} is {violation.found:#x}{wanted}: {violation.because}"
