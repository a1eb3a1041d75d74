"""Findings about free pages that are a list by themselves: what one page has is one finding."""

from collections.abc import Iterator, Sequence

from coronel_gdb.checks import catalogue
from coronel_gdb.checks.damage import Field, is_plain
from coronel_gdb.checks.listed import listed_findings
from coronel_gdb.checks.specimen import Specimen
from coronel_gdb.checks.suspect import Damage, suspect_freed
from coronel_gdb.lift.runs import LiftedRuns
from coronel_gdb.report import Finding, Watch, Write
from model.invariants import runs as rules_of_runs
from model.invariants.base import Verdict, Violation
from model.records import HeapBlock, HeapRules
from model.types import VirtualAddress

_LINK_BYTES = 8
_SHOWN_BYTES = 32
_FREE, _USED = 1, 2  # stand for the magics that pages do not have
_RULES = HeapRules(0, 1, 1, _FREE, _USED)
_CODES = {
    rules_of_runs.COUNT: catalogue.RUN_COUNT,
    rules_of_runs.LOST: catalogue.RUN_LOST,
    rules_of_runs.TABLE: catalogue.FRAME_FREE_TABLE,
}


def run_findings(lifted: LiftedRuns, verdict: Verdict, variable: str) -> list[Finding]:
    """One finding a damaged page, in list order, then the list's own; `variable` is the head's name."""
    by_page: dict[int, list[Violation]] = {}
    for violation in verdict.violations:
        if violation.invariant in (rules_of_runs.JUNK, rules_of_runs.LINK) and violation.field != "head":
            by_page.setdefault(violation.subject, []).append(violation)
    findings = [_page(lifted, page, violations) for page, violations in by_page.items()]
    for violation in verdict.violations:
        if violation.invariant is rules_of_runs.CYCLE:
            findings.append(_cycle(lifted, violation))
        elif violation.field == "head":
            findings.append(_head(violation, variable))
    rest = [violation for violation in verdict.violations if violation.invariant in _CODES]
    return findings + listed_findings(rest, _CODES)


def _page(lifted: LiftedRuns, page: int, violations: Sequence[Violation]) -> Finding:
    fields = sorted(_fields(lifted, page, violations), key=lambda field: field.address)
    start = min(field.changed[0] for field in fields)
    size = lifted.rules.page_bytes
    shown = (start & ~15, min(start + _SHOWN_BYTES, page + size))
    specimen = Specimen("page", page, fields, violations, lifted.image, shown)
    free = {int(one.address) for one in lifted.pages} | {int(one.address) for one in lifted.strays}
    block = _block(page, size, is_free=True)
    before = [_block(page - size, size, is_free=page - size in free)]
    damage = Damage(block, *specimen.extent, specimen.run, specimen.shape, is_plain(specimen.bytes[0]))
    suspicion = suspect_freed(damage, f"page {page:#x}", before, _RULES, _name)
    best = suspicion.best
    suspect = {"kind": best.kind, "page": best.block, "direction": best.direction}
    is_link = all(field.name == "next" for field in fields)
    code = catalogue.RUN_LINK if is_link else catalogue.RUN_WRITTEN
    return specimen.finding(code, suspicion, "free", suspect)


def _fields(lifted: LiftedRuns, page: int, violations: Sequence[Violation]) -> Iterator[Field]:
    for violation in violations:
        if violation.invariant is rules_of_runs.LINK:
            address = page + lifted.rules.link_offset
            found = violation.found.to_bytes(_LINK_BYTES, "little")
            wanted = violation.expected
            expected = None if wanted is None else wanted.to_bytes(_LINK_BYTES, "little")
            yield Field("next", address, found, expected, violation.because, violation.invariant.id)
    (run,) = [run for run in lifted.pages if run.address == page]
    for start, data in run.spoiled:
        junk = bytes([lifted.rules.junk_free or 0]) * len(data)
        because = "nobody has written there since the page was freed"
        yield Field("junk", start, data, junk, because, rules_of_runs.JUNK.id)


def _block(address: int, size_bytes: int, *, is_free: bool) -> HeapBlock:
    """A page as a block without a header, which is what suspicion is about."""
    nowhere = VirtualAddress(0)
    magic = _FREE if is_free else _USED
    return HeapBlock(VirtualAddress(address), size_bytes, int(is_free), nowhere, nowhere, magic)


def _name(block: HeapBlock, _: HeapRules) -> str:
    return f"page {block.address:#x} ({'free' if block.is_free else 'used'})"


def _cycle(lifted: LiftedRuns, violation: Violation) -> Finding:
    """The page that comes a second time: the list cannot be left behind it."""
    code, page = catalogue.RUN_CYCLE, violation.subject
    position = next(index for index, run in enumerate(lifted.pages) if run.address == page)
    count = len(lifted.pages) - position
    between = f", {count - 1} other{'s' * (count > 2)} freed in between" if count > 1 else ""
    further = f"{count} page{'s' * (count > 1)} further"
    lines = (
        f"page     {page:#x} is in the list again {further}; {violation.because}",
        f"suspect  double free of page {page:#x}: its second free linked it in front once more{between}",
    )
    suspect = {"kind": "double free", "page": page, "direction": None}
    data = {
        "page": page,
        "pages": count,
        "found": violation.found,
        "expected": violation.expected,
        "suspect": suspect,
    }
    link = page + lifted.rules.link_offset
    watch = (Watch(link, _LINK_BYTES),)
    if violation.expected is None:
        return Finding(code.code, code.title, page, lines, data, watch)
    # As before the second free: what led to the page leads past it, and it leads to the rest again.
    ahead = lifted.pages[position - 1].address + lifted.rules.link_offset if position else lifted.runs.address
    past = [Write(ahead, violation.found.to_bytes(_LINK_BYTES, "little"))] if count > 1 else []
    repair = (*past, Write(link, violation.expected.to_bytes(_LINK_BYTES, "little")))
    return Finding(code.code, code.title, page, lines, data, watch, (), repair, "undoes the second free")


def _head(violation: Violation, variable: str) -> Finding:
    """The head itself leads to no page."""
    code = catalogue.RUN_LINK
    wanted = "" if violation.expected is None else f", expected {violation.expected:#x}: {violation.because}"
    lines = (
        f"head     {variable} is {violation.found:#x}{wanted}",
        f"suspect  a page was put into the list that is no page of RAM: {violation.found:#x}",
    )
    data = {
        "page": None,
        "found": violation.found,
        "expected": violation.expected,
        "suspect": {"kind": "wild free", "page": violation.found, "direction": None},
    }
    watch = (Watch(violation.subject, _LINK_BYTES),)
    return Finding(code.code, code.title, violation.subject, lines, data, watch)
