"""Findings where one invariant tends to break in many places at once: one finding an invariant."""

from collections.abc import Iterable, Mapping

from coronel_gdb.checks.catalogue import Code
from coronel_gdb.report import Finding
from model.invariants.base import Invariant, Violation

_SHOWN = 8


def listed_findings(violations: Iterable[Violation], codes: Mapping[Invariant, Code]) -> list[Finding]:
    """The violations by invariant, in the order in which each was first met."""
    by_invariant: dict[Invariant, list[Violation]] = {}
    for violation in violations:
        by_invariant.setdefault(violation.invariant, []).append(violation)
    return [_finding(invariant, codes[invariant], group) for invariant, group in by_invariant.items()]


def _finding(invariant: Invariant, code: Code, violations: list[Violation]) -> Finding:
    lines = [_line(violation) for violation in violations[:_SHOWN]]
    if len(violations) > _SHOWN:
        lines.append(f"… and {len(violations) - _SHOWN} more places (all of them with --json)")
    lines.append(f"rule     {invariant.formula} ({invariant.reason})")
    places = [
        {
            "subject": v.subject,
            "field": v.field,
            "found": v.found,
            "expected": v.expected,
            "because": v.because,
        }
        for v in violations
    ]
    subject = violations[0].subject
    data = {"invariant": invariant.id, "places": places}
    return Finding(code.code, code.title, subject, tuple(lines), data, (f"x/2gx {subject:#x}",))


def _line(violation: Violation) -> str:
    wanted = "" if violation.expected is None else f", expected {violation.expected:#x}"
    because = f": {violation.because}" if violation.because else ""
    return f"{violation.subject:#x} {violation.field} is {violation.found:#x}{wanted}{because}"
