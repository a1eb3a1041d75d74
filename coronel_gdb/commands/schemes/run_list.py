"""`frames` of a kernel whose free pages are a list by themselves."""

import argparse
from collections.abc import Iterator

from coronel_gdb.checks.folding import fold
from coronel_gdb.checks.runs import run_findings
from coronel_gdb.commands.command import busy
from coronel_gdb.commands.roles.role import Role
from coronel_gdb.commands.surroundings import placed
from coronel_gdb.commands.survey import Survey, value_of
from coronel_gdb.commands.unnamed import note_unnamed
from coronel_gdb.errors import UsageError
from coronel_gdb.lift.activity import is_held
from coronel_gdb.lift.references import registers
from coronel_gdb.lift.runs import LiftedRuns, follow_runs, read_runs, rules_of
from coronel_gdb.lift.whole import whole_space
from coronel_gdb.profiles.schema import Section
from coronel_gdb.report import Absent, Report
from model.types import PAGE_BYTES, align_down

_NO_LEDGER = "of this kernel only the free list and the page tables tell whose a page is"


def runs_report(survey: Survey, section: Section, options: argparse.Namespace | None) -> Report:
    """The list, page by page; who has a page that is not free, such a kernel does not say."""
    context = survey.context
    runs = read_runs(context.target, context.space, section)
    if is_held(runs.locked):
        return busy("frames", "free page list")
    lifted = lift_list(survey, section)
    tables = page_tables(survey)
    verdict = lifted.verdict(frozenset(tables))
    head = f"{section.symbol}.{section.structures['type'].members['free_list'].name}"
    findings, _ = fold(run_findings(lifted, verdict, head))
    findings = placed(survey, findings)
    report = Report("frames", "", findings=findings, checked=verdict.evaluated)
    size, free = lifted.rules.page_bytes, len(lifted.pages)
    managed = max(0, runs.end - runs.start) // size
    counted = "" if "count" in runs.unkept else f", the kernel counts {runs.count:,}"
    report.facts += [
        ("free", f"{free:,} pages in the list ({free * size >> 10:,} KiB){counted}"),
        ("in use", f"{max(0, managed - free - len(lifted.strays)):,} of {managed:,} pages that can be free"),
        ("next", f"{runs.head:#x} is handed out next" if runs.head else "none: the list is empty"),
        ("list", f"from {head} at {runs.address:#x}, pages in {runs.start:#x}..{runs.end:#x}"),
    ]
    if lifted.strays:
        report.facts.append(("lost", f"{len(lifted.strays):,} pages look free and are not in the list"))
    note_unnamed(report, section, runs, verdict.unkept)
    report.not_checked += [Absent(invariant.formula, why) for invariant, why in verdict.unchecked]
    _unread(lifted, report)
    if options is not None:
        _asked(survey, lifted, set(tables), report, options)
    count = len(findings)
    report.summary = (
        f"{count} finding{'s' * (count != 1)} about {free + len(lifted.strays):,} free pages"
        if findings
        else f"free list is sound{' as far as checked' if lifted.gap else ''}: {free:,} pages"
    )
    return report


def lift_list(survey: Survey, section: Section) -> LiftedRuns:
    """The list of the stopped kernel; a page that a register points to is on its way, and not lost."""
    context, rules = survey.context, rules_of(section)
    runs = read_runs(context.target, context.space, section)
    held = frozenset(align_down(word, rules.page_bytes) for word in registers(context.target))
    return follow_runs(context.space, runs, rules, held)


def page_tables(survey: Survey) -> list[int]:
    """The virtual addresses of all tables of the current address space."""
    pages = whole_space(survey.context.space, progress=survey.context.progress)
    return [virtual for table in pages.tables for virtual, _ in pages.mappings_of(table, PAGE_BYTES)]


def _unread(lifted: LiftedRuns, report: Report) -> None:
    """Pages that nobody could look at."""
    report.not_checked += [
        Absent(f"pages {run.start:#x}..{run.end:#x}", run.reason) for run in lifted.image.holes()
    ]
    if lifted.image.end < lifted.runs.end:
        why = "that is more than is read at once"
        report.not_checked.append(Absent(f"pages {lifted.image.end:#x}..{lifted.runs.end:#x}", why))
    if lifted.gap:
        why = f"the page at {lifted.gap:#x} is not there; what was found behind it is in no order"
        report.not_checked.append(Absent("the list as a whole", why))


def _asked(
    survey: Survey, lifted: LiftedRuns, tables: set[int], report: Report, options: argparse.Namespace
) -> None:
    """What the options ask for besides."""
    if options.owner is not None:
        address = value_of(survey.context, "frames", options.owner, "--owner")
        if address >= 1 << 52:
            raise UsageError(
                f"frames: --owner {address:#x} is no physical address (pagewalk translates virtual ones)"
            )
        report.facts.append(("owner", _owner(survey, lifted, tables, address)))
    if options.ledger or options.duplicates or options.leaks:
        report.not_checked.append(Absent("owners of all frames", _NO_LEDGER))


def _owner(survey: Survey, lifted: LiftedRuns, tables: set[int], physical: int) -> str:
    """What is known of one frame."""
    frame = align_down(physical, PAGE_BYTES)
    pages = whole_space(survey.context.space, progress=survey.context.progress)
    words = [
        f"{virtual:#x} is a {state_of(lifted, tables, virtual) or 'page that is never in the free list'}"
        for virtual, _ in pages.mappings_of(frame)
    ]
    return f"frame {frame:#x}: " + ("; ".join(words) or "not mapped, so nothing is known of it")


def page_roles(survey: Survey, section: Section, address: int) -> Iterator[Role]:
    """What the page at an address is, where pages can be free."""
    lifted = lift_list(survey, section)
    if is_held(lifted.runs.locked):
        why = "its lock is held, so an operation is under way: `finish` it and ask again"
        survey.absent.append(Absent("free pages", why))
    page = align_down(address, lifted.rules.page_bytes)
    state = state_of(lifted, set(page_tables(survey)), page)
    if state:
        yield Role(state, page, address - page)


def state_of(lifted: LiftedRuns, tables: set[int], address: int) -> str:
    """What the page at a virtual address is, in words; nothing where no page can be free."""
    runs, page = lifted.runs, align_down(address, lifted.rules.page_bytes)
    if not runs.start <= page < runs.end:
        return ""
    for index, run in enumerate(lifted.pages):
        if run.address == page:
            return f"free page, number {index} of the list"
    if any(run.address == page for run in lifted.strays):
        return "page that looks free and is not in the list"
    return "page of page tables" if page in tables else "page in use"
