"""Findings about the list of free frames."""

from coronel_gdb.checks import catalogue
from coronel_gdb.checks.listed import listed_findings
from coronel_gdb.report import Finding
from model.invariants import frames as rules
from model.invariants import placed_frames
from model.invariants.base import Verdict

_CODES = {
    rules.NODE_PLACE: catalogue.FRAME_PLACE,
    rules.NODE_OWNER: catalogue.FRAME_OWNER,
    rules.MANAGED: catalogue.FRAME_UNMANAGED,
    rules.CYCLE: catalogue.FRAME_CYCLE,
    rules.COUNT: catalogue.FRAME_COUNT,
    rules.LOST: catalogue.FRAME_LOST,
    rules.LINK: catalogue.FRAME_SKIPPED,
    rules.END: catalogue.FRAME_LINK,
    placed_frames.PAGE: catalogue.FRAME_UNMANAGED,
    placed_frames.ONCE: catalogue.FRAME_TWICE_FREE,
}


def frame_findings(verdict: Verdict) -> list[Finding]:
    """One finding an invariant: a damaged list tends to break one of them in many nodes at once."""
    return listed_findings(verdict.violations, _CODES)
