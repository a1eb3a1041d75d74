"""`coronel report`: everything that is known about one target, as a page to attach to a bug."""

import argparse

from coronel_gdb import VERSION
from coronel_gdb.commands import replay
from coronel_gdb.commands.command import Command, Context, Option
from coronel_gdb.commands.drawings import draw
from coronel_gdb.commands.memcheck import COMMAND as MEMCHECK
from coronel_gdb.commands.survey import Survey
from coronel_gdb.errors import CoronelError
from coronel_gdb.report import Absent, Report


def run(context: Context, _: argparse.Namespace) -> Report:
    """All checks and the replay, then the drawings."""
    report = MEMCHECK.run(context, MEMCHECK.parse([]))
    report.command = "report"
    report.facts = [("tool", f"coronel-gdb {VERSION}"), *context.target.facts()]
    kernel = context.target.kernel()
    if kernel is not None:
        report.facts.append(("kernel", kernel.name))
    try:
        replayed = replay.run(context, replay.COMMAND.parse([]))
    except CoronelError as error:
        report.not_checked.append(Absent("replay of the trace", str(error)))
    else:
        report.facts.append(("replay", replayed.summary))
        report.findings += replayed.findings
        report.not_checked += replayed.not_checked
        report.checked += replayed.checked
    draw(Survey.of(context), report)
    count = len(report.findings)
    verdict = f"{count} finding{'s' * (count != 1)}" if count else "no finding"
    unknown = f", {len(report.not_checked)} not checkable" if report.not_checked else ""
    report.summary = f"{verdict}; {report.checked:,} invariants checked{unknown}"
    return report


COMMAND = Command(
    "report",
    "Write everything that is known as one HTML page.",
    "Findings with all their details, a map of the heap, the owners of physical memory, the address\n"
    "spaces, and from the trace how the heap grew and who holds it. One file, no script, nothing loaded\n"
    "from elsewhere. Exit code: 0 sound, 1 findings, 2 could not check all.",
    "coronel report -o report.html",
    (Option("dump", "what to look at, as with --dump", "FILE"),),
    run,
)
