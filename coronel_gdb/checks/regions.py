"""Findings about the list of free virtual regions."""

from collections.abc import Iterable

from coronel_gdb.checks import catalogue
from coronel_gdb.checks.listed import listed_findings
from coronel_gdb.lift.regions import LiftedRegions
from coronel_gdb.report import Finding
from model.invariants import regions as rules
from model.invariants.base import Violation
from model.spaces import Space

_SHOWN = 8

_CODES = {
    rules.ALIGNED: catalogue.REGION_ALIGNED,
    rules.INSIDE: catalogue.REGION_INSIDE,
    rules.ORDER: catalogue.REGION_ORDER,
    rules.FIRST: catalogue.REGION_LINK,
    rules.BACK: catalogue.REGION_LINK,
    rules.LAST: catalogue.REGION_LINK,
    rules.END: catalogue.REGION_LINK,
    rules.COUNT: catalogue.REGION_COUNT,
    rules.SPARE: catalogue.REGION_SPARE,
    rules.SPARE_COUNT: catalogue.REGION_SPARE,
    rules.APART: catalogue.REGION_SPARE,
}


def region_findings(violations: Iterable[Violation]) -> list[Finding]:
    """One finding an invariant."""
    return listed_findings(violations, _CODES)


def mapped_findings(lifted: LiftedRegions, space: Space) -> list[Finding]:
    """Pages that lie in a free region of a manager of this space: one finding for all."""
    places = []
    for region in lifted.regions:
        end = region.start + region.size_bytes
        for run in space.runs:
            start, stop = max(region.start, run.virtual), min(end, run.virtual + run.size_bytes)
            if start < stop and run.virtual >> 63 == lifted.manager.start >> 63:
                places.append((start, stop, region.node, run.entry))
    if not places:
        return []
    code = catalogue.REGION_MAPPED
    lines = [
        f"[{start:#x}, {stop:#x}) is mapped and lies in the free region of node {node:#x}"
        for start, stop, node, _ in places[:_SHOWN]
    ]
    if len(places) > _SHOWN:
        lines.append(f"… and {len(places) - _SHOWN} more places (all of them with --json)")
    lines.append("rule     a free region has no page (§6.4: it is handed out again)")
    names = ("start", "end", "node", "entry")
    data = {
        "invariant": "regions.mapped",
        "places": [dict(zip(names, place, strict=True)) for place in places],
    }
    first = places[0][0]
    return [Finding(code.code, code.title, first, tuple(lines), data, (f"pagewalk {first:#x}",))]
