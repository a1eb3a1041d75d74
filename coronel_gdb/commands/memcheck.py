"""`memcheck`: every check of every command in one run, one finding a cause, the verdict first."""

import argparse
from collections.abc import Callable

from coronel_gdb.checks.folding import fold
from coronel_gdb.commands.command import Command, Context
from coronel_gdb.commands.foundations import foundations_report
from coronel_gdb.commands.frames import frames_report
from coronel_gdb.commands.heapcheck import (
    has_own_user_heap,
    kernel_report,
    leak_report,
    own_user_report,
    user_report,
)
from coronel_gdb.commands.layout import layout_report
from coronel_gdb.commands.processes import processes_report
from coronel_gdb.commands.regions import regions_report
from coronel_gdb.commands.survey import Survey
from coronel_gdb.errors import CoronelError
from coronel_gdb.report import Absent, Report, Table


def run(context: Context, _: argparse.Namespace) -> Report:
    """Run all checks on one survey; a check that cannot run is a row, not an end."""
    survey = Survey.of(context)
    report = Report("memcheck", "")
    rows: list[tuple[object, ...]] = []

    def part(name: str, check: Callable[[], Report], section: str = "") -> None:
        try:
            if section in context.profile.lacks:
                rows.append((name, "none", 0, f"this kernel has no {section}"))
                return
            found = check()
        except CoronelError as error:
            report.not_checked.append(Absent(name, str(error)))
            rows.append((name, "not checked", 0, str(error)))
            return
        count = len(found.findings)
        verdict = f"{count} finding{'s' * (count != 1)}" if count else "sound"
        if not count and not found.checked and not found.not_checked:
            verdict = "nothing to check"
        elif not count and found.not_checked:
            verdict = "sound as far as checked" if found.checked else "not checked"
        rows.append((name, verdict, found.checked, found.summary))
        report.findings += found.findings
        report.checked += found.checked
        report.not_checked += [absent for absent in found.not_checked if absent not in report.not_checked]

    part("foundations", lambda: foundations_report(survey))
    if _is_specified(context):
        part("layout", lambda: layout_report(survey))
    part("frames", lambda: frames_report(survey), "frames")
    part("regions", lambda: regions_report(survey), "regions")
    part("kernel heap", lambda: kernel_report(survey), "heap")
    part("references", lambda: leak_report(survey), "heap")
    if _knows_user_heap(context):
        part("user heap", lambda: own_user_report(survey))
    part("processes", lambda: processes_report(survey), "processes")
    try:
        processes = survey.listed.processes
    except CoronelError:
        processes = []
    for process in processes:
        part(f"heap of {process.pid}", lambda process=process: user_report(survey, process))  # type: ignore[misc]
    report.findings, below = fold(report.findings)
    count = len(report.findings)
    derived = f" ({below} more derive from them)" if below else ""
    verdict = f"{count} finding{'s' * (count != 1)}{derived}" if count else "no finding"
    unknown = f", {len(report.not_checked)} not checkable" if report.not_checked else ""
    report.summary = f"{verdict}; {report.checked:,} invariants checked{unknown}"
    report.tables.append(Table("checks", ("check", "verdict", "invariants", "summary"), rows))
    return report


def _knows_user_heap(context: Context) -> bool:
    try:
        return has_own_user_heap(context)
    except CoronelError:
        return False


def _is_specified(context: Context) -> bool:
    """Whether docs/spec.md says how the kernel is laid out; without a profile, the check says that itself."""
    try:
        return context.profile.specified
    except CoronelError:
        return True


COMMAND = Command(
    "memcheck",
    "Check everything in one run, and tell cause from effect.",
    "Every other command's checks over one reading of the target. Findings that follow from another one are\n"
    "listed below it. What could not be checked is a row of its own and never counts as healthy. Exit code\n"
    "(in $coronel_exit): 0 sound, 1 findings, 2 could not check all.",
    "memcheck --json",
    (),
    run,
)
