"""`--audit`: a kernel of docs/spec.md by its own rules for pages, any other by what holds everywhere."""

from bisect import bisect_left
from collections.abc import Iterator, Sequence

from coronel_gdb.checks.folding import fold
from coronel_gdb.checks.layout import layout_findings
from coronel_gdb.checks.ownership import border_findings, marked_findings
from coronel_gdb.checks.paging import page_findings
from coronel_gdb.checks.processes import process_findings
from coronel_gdb.commands.command import Context
from coronel_gdb.commands.frames import ledger_findings
from coronel_gdb.commands.layout import areas_of
from coronel_gdb.commands.processes import page_violations, unwalked
from coronel_gdb.commands.survey import Survey
from coronel_gdb.commands.walks.listing import missing
from coronel_gdb.errors import CoronelError
from coronel_gdb.lift.all_spaces import LiftedSpaces
from coronel_gdb.lift.pages import EXECUTE, USER, WRITE, Pages
from coronel_gdb.lift.space import AddressSpace
from coronel_gdb.lift.spaces import KnownSpace
from coronel_gdb.lift.whole import whole_space
from coronel_gdb.report import Absent, Report
from model.invariants import borders, layout, ownership
from model.invariants.base import Violation
from model.invariants.paging import (
    GENERAL,
    LOWER_HALF_END,
    NULL_GUARD_BYTES,
    check_entries,
    check_ranges,
    check_tables,
)
from model.paging import BadTable, FaultReason, Range, Translation
from model.types import PAGE_BYTES, PhysicalAddress, VirtualAddress

Opened = tuple[KnownSpace, AddressSpace]


def audit(context: Context, known: Sequence[Opened], wanted: Sequence[Opened], report: Report) -> int:
    """Judge the `wanted` of all `known` spaces; how many pages they have."""
    survey, why = _described(context)
    own = [] if survey is None else [one for one, _ in wanted if _is_described(one, survey)]
    total = _audit_described(survey, {one.root for one in own}, report) if survey is not None and own else 0
    others = [opened for opened in wanted if opened[0] not in own]
    if others:
        tables = {table.address for space in survey.spaces.all for table in space.tables} if survey else set()
        total += _audit_any(
            context, [opened for opened in known if opened[0] not in own], others, tables, report
        )
    if survey is None:
        report.facts.append(("not checkable", f"layout, owners of frames: {why}"))
    else:
        reason = "these tables are neither the kernel directory nor a process's"
        report.not_checked += [Absent(f"layout of {one.name}", reason) for one, _ in others]
    report.findings, _ = fold(report.findings)
    report.facts.append(("audit", f"{len(report.findings)} findings, {report.checked:,} checks"))
    return total


def _described(context: Context) -> tuple[Survey | None, str]:
    """The kernel's spaces when docs/spec.md describes it and §2 holds already, else why not."""
    survey = Survey.of(context)
    try:
        if not context.profile.specified:
            return (
                None,
                f"profile {context.profile.name} is of a kernel with another layout than docs/spec.md",
            )
        return (survey, "") if survey.spaces else (None, "")
    except CoronelError as error:
        return None, str(error)


def _is_described(one: KnownSpace, survey: Survey) -> bool:
    return any(one.root == space.root for space in survey.spaces.all)


def _audit_described(survey: Survey, roots: set[PhysicalAddress], report: Report) -> int:
    """The kernel's half, which is in every space, and the lower halves of those processes."""
    context, kernel = survey.context, survey.spaces.kernel
    chosen = LiftedSpaces(kernel, [user for user in survey.spaces.users if user.space.root in roots])
    report.not_checked += unwalked(chosen)
    try:
        report.findings += layout_findings(layout.check_kernel_pages(kernel, areas_of(context)))
    except CoronelError as error:
        report.not_checked.append(Absent(layout.PLACE.formula, str(error)))
    report.findings += marked_findings(chosen, context.space) + border_findings(chosen)
    try:
        if not survey.busy:
            report.findings += process_findings(page_violations(context, chosen.users, report))
        report.findings += ledger_findings(survey, report, roots | {kernel.root})
    except CoronelError as error:
        report.not_checked.append(Absent(ownership.MAPPED_TWICE.formula, str(error)))
    report.findings += page_findings(
        found for space in chosen.all for found in _reserved(space.bad, context.space)
    )
    upper = _pages(chosen, 0)
    total = sum(_pages(chosen, number) + upper for number in range(1, len(chosen.all)))
    total += upper if kernel.root in roots else 0
    report.checked += (len(layout.ALL) + len(borders.ALL)) * total
    return total


def _pages(spaces: LiftedSpaces, number: int) -> int:
    return sum(run.size_bytes // run.page_bytes for run in spaces.all[number].runs)


def _audit_any(
    context: Context,
    known: Sequence[Opened],
    wanted: Sequence[Opened],
    tables: set[PhysicalAddress],
    report: Report,
) -> int:
    """What holds for every kernel; `tables` are those of spaces that are not among the `known`."""
    walked = {one: whole_space(space, progress=context.progress) for one, space in known}
    every = sorted(tables.union(*(map(PhysicalAddress, pages.tables) for pages in walked.values())))
    violations: list[Violation] = []
    total = writes = 0
    for one, space in wanted:
        pages = walked[one]
        violations += check_ranges(_suspects(pages).ranges(), _Leaf(space))
        ranges = list(_touching(pages, every))
        violations += check_tables(ranges, every)
        writes += sum(part.rights.writable and not part.rights.user for part in ranges)
        violations += _reserved(pages.bad, space)
        for found in pages.self_maps:
            # One page stands for the whole window onto the tables.
            end = VirtualAddress(found.virtual + PAGE_BYTES)
            part = Range(found.virtual, end, found.table, found.rights, PAGE_BYTES, 1)
            violations += check_tables([part], [found.table])
        report.not_checked += missing(pages)
        total += pages.count
    report.findings += page_findings(dict.fromkeys(violations))
    report.checked += len(GENERAL) * total
    reached = f"{writes} ranges reach one of {len(every)} page tables"
    report.facts.append(("direct map", f"the kernel can write page tables: {reached}"))
    return total


def _reserved(bad: Sequence[BadTable], space: AddressSpace) -> Iterator[Violation]:
    return check_entries(
        (each, space.entry(each.entry_address) or 0)
        for each in bad
        if each.reason is FaultReason.RESERVED_BIT and each.entry_address is not None
    )


class _Leaf:
    """The raw entry that maps an address, 0 when none does."""

    def __init__(self, space: AddressSpace) -> None:
        self._space = space

    def __call__(self, address: VirtualAddress) -> int:
        found = self._space.translate(address)
        return found.leaf if isinstance(found, Translation) else 0


def _suspects(pages: Pages) -> Pages:
    """The few ranges of which a right or the place is unusual; the others cannot break a rule."""
    return pages.chosen(
        [
            index
            for index, (start, kind) in enumerate(zip(pages.starts, pages.kinds, strict=True))
            if kind & (WRITE | EXECUTE) == WRITE | EXECUTE
            or start < NULL_GUARD_BYTES
            or (kind & USER and start >= LOWER_HALF_END)
        ]
    )


def _touching(pages: Pages, tables: list[PhysicalAddress]) -> Iterator[Range]:
    """The ranges that lead to a page table and could do harm."""
    for index, (physical, kind) in enumerate(zip(pages.physical, pages.kinds, strict=True)):
        if kind & (USER | WRITE):
            at = bisect_left(tables, physical)
            if at < len(tables) and tables[at] < physical + pages.size_bytes(index):
                yield pages.range(index)
