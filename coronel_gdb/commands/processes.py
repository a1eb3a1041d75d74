"""`processes`: every process with its layout, and the proof that nothing crosses between their spaces."""

import argparse
from collections.abc import Iterable, Iterator

from coronel_gdb.checks.ownership import border_findings, marked_findings, ownership_findings
from coronel_gdb.checks.processes import process_findings
from coronel_gdb.commands.command import Command, Context
from coronel_gdb.commands.many import few
from coronel_gdb.commands.survey import Survey
from coronel_gdb.errors import CoronelError
from coronel_gdb.lift.activity import A_PROCESS
from coronel_gdb.lift.all_spaces import LiftedSpaces, UserSpace
from coronel_gdb.lift.ledger import gather
from coronel_gdb.lift.processes import lift_processes, unlisted
from coronel_gdb.lift.regions import lift_list
from coronel_gdb.report import Absent, Finding, Report, Table
from model.address_space import USER_HEAP_START
from model.invariants import borders, ownership
from model.invariants import processes as rules
from model.invariants.base import Violation
from model.ledger import sweep
from model.types import PAGE_BYTES

_STATES = {0: "ready", 1: "paused", 2: "ended"}


def run(context: Context, _: argparse.Namespace) -> Report:
    """Lift the list and all spaces, judge both, and say what each process has."""
    survey = Survey.of(context)
    profile = context.profile
    if "processes" in profile.lacks:
        return Report("processes", f"a kernel of profile {profile.name} has none")
    survey.listed = lift_processes(context.target, context.space, profile)  # must exist here
    return processes_report(survey)


def processes_report(survey: Survey) -> Report:
    """As the command says; a kernel without processes has its own borders only."""
    context = survey.context
    listed, spaces = survey.listed, survey.spaces
    report = Report("processes", "")
    findings = report.findings
    still = survey.stands_still(report, "processes", A_PROCESS, "page tables")
    if still:
        findings += list_findings(survey, report) + isolation_findings(context, spaces)
    count = len(listed.processes)
    entries = sum(len(space.tables) for space in spaces.all)
    processes = f"{count} process{'es' * (count != 1)}" if count else "no process"
    sound = f"{processes}: no frame, table or right crosses" if count else processes
    if findings:
        report.summary = f"{len(findings)} finding{'s' * (len(findings) != 1)} in {count} processes"
    else:
        report.summary = sound if still else f"{processes}, being changed"
    report.checked = still * (
        len(rules.PER_LIST) + (len(rules.PER_PROCESS) + len(ownership.ISOLATION)) * count + len(borders.ALL)
    )
    report.facts += [
        ("spaces", f"{len(spaces.all)} (the kernel's and one a process), {entries:,} page tables"),
        ("kernel", f"directory {spaces.kernel.root:#x}, {_pages(spaces, 0):,} pages"),
    ]
    rows = [
        (
            process.pid,
            process.title,
            _STATES.get(process.state, f"state {process.state}"),
            process.memory.page_directory,
            _pages(spaces, number + 1),
            _kib(process.memory.code_end - process.memory.code_start),
            _kib(process.memory.data_end - process.memory.data_start),
            _kib(process.memory.heap.heap_current - USER_HEAP_START),
            _kib(process.memory.stack_end - process.memory.stack_start),
            process.address,
        )
        for number, process in enumerate(listed.processes)
    ]
    columns = ("pid", "name", "state", "cr3", "pages", "code", "data", "heap", "stack", "process at")
    report.tables.append(Table("processes", columns, rows, frozenset({"cr3", "process at"})))
    report.not_checked += unwalked(spaces)
    return report


def list_findings(survey: Survey, report: Report) -> list[Finding]:
    """What is wrong with the list, with a process's own fields, or with its pages against them."""
    listed, users = survey.listed, survey.spaces.users
    violations: list[Violation] = rules.check_list(listed.processes, listed.variable, stop=listed.stop)
    if listed.lost:
        violations = [found for found in violations if found.invariant is not rules.LIST]
        report.not_checked.append(Absent(f"processes from {listed.stop:#x} on", listed.lost))
    violations += rules.check_listed(listed.processes, (listed.variable, listed.head), _left_out(survey))
    for user in users:
        violations += rules.check_fields(user.process)
    violations += page_violations(survey.context, users, report)
    return process_findings(violations)


def _left_out(survey: Survey) -> list[tuple[int, int]]:
    """Processes that the heap holds and the list does not; none where either cannot be read."""
    if "kernel heap" in survey.changing or survey.unread or survey.listed.lost:
        return []
    try:
        return list(unlisted(survey.listed, survey.heap.image, survey.context.profile))
    except CoronelError:
        return []


def page_violations(context: Context, users: Iterable[UserSpace], report: Report) -> Iterator[Violation]:
    """What is wrong with the pages of processes, against what each says it has, as far as that is known."""
    for user in users:
        free = lift_list(user.process.memory.mmap, context.space, context.profile.regions.node)
        if free.lost:
            report.not_checked.append(Absent(f"pages of process {user.process.pid}", free.lost))
        else:
            yield from rules.check_pages(user.space, rules.areas(user.process, free.regions))


def isolation_findings(context: Context, spaces: LiftedSpaces) -> list[Finding]:
    """What crosses from one space to another, or from the kernel to ring 3."""
    claims = gather(context.target, context.space, context.profile, spaces, ()).claims
    conflicts = ownership.check_owners(sweep(claims), (), lost_known=False)
    crossing = [conflict for conflict in conflicts if conflict.invariant in ownership.ISOLATION]
    return [
        *marked_findings(spaces, context.space),
        *border_findings(spaces),
        *ownership_findings(crossing, context.space, spaces.users),
    ]


def unwalked(spaces: LiftedSpaces) -> list[Absent]:
    """Parts of the spaces of which nothing is known."""
    absent = (
        Absent(
            f"{space.name}, addresses from {bad.virtual:#x}",
            f"{bad.level.name} table {bad.table:#x}: {bad.reason.value}",
        )
        for space in spaces.all
        for bad in space.bad
    )
    return few(absent, sum(len(space.bad) for space in spaces.all), "damaged tables") + [
        Absent(f"kernel half of {user.space.name}", f"its top table {user.space.root:#x} cannot be read")
        for user in spaces.users
        if user.differing is None
    ]


def _pages(spaces: LiftedSpaces, number: int) -> int:
    return sum(run.size_bytes // PAGE_BYTES for run in spaces.all[number].runs)


def _kib(size_bytes: int) -> str:
    return f"{size_bytes >> 10:,} KiB"


COMMAND = Command(
    "processes",
    "List the processes and prove that they are isolated.",
    "Walks the kernel's tables and those of every process. A frame that two processes map, a page table or\n"
    "a kernel frame that ring 3 can reach, and a user bit in the kernel half are findings, each with the\n"
    "entries that lead there. Exit code (in $coronel_exit): 0 isolated, 1 findings, 2 could not check.",
    "processes --json",
    (),
    run,
)
