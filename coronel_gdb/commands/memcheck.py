"""`memcheck`: every check of every command in one run, one finding a cause, the verdict first."""

import argparse
from collections.abc import Callable
from functools import partial

from coronel_gdb.checks.folding import fold
from coronel_gdb.commands.additions import Check
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

CHECKS = (
    Check("foundations", (), foundations_report),
    Check("layout", (), layout_report),
    Check("frames", (), frames_report, "frames"),
    Check("regions", (), regions_report, "regions"),
    Check("kernel heap", (), kernel_report, "heap"),
    Check("references", (), leak_report, "heap"),
    Check("user heap", (), own_user_report),
    Check("processes", (), processes_report, "processes"),
)
"""The rows of every kernel, whose codes are in the catalogue; each process with a heap is one more."""


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
        report.not_checked = list(dict.fromkeys([*report.not_checked, *found.not_checked]))

    for check in CHECKS:
        if check.name not in _ONLY_WHERE or _ONLY_WHERE[check.name](context):
            part(check.name, partial(check.run, survey), check.section)
    try:
        processes = survey.listed.processes
    except CoronelError:
        processes = []
    for process in processes:
        part(f"heap of {process.pid}", partial(user_report, survey, process))
    for check in context.added.checks:
        part(check.name, partial(check.run, survey), check.section)
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


_ONLY_WHERE = {"layout": _is_specified, "user heap": _knows_user_heap}
"""Checks of which other kernels know nothing."""

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
