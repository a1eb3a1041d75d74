"""`coronel status`: what was found, what works here, and what could not be loaded and why."""

import argparse
import sys
from collections.abc import Callable

from coronel_gdb import VERSION
from coronel_gdb.commands.command import Command, Context
from coronel_gdb.errors import CoronelError
from coronel_gdb.report import Absent, Report

_PACKAGES = (
    ("pyelftools", "types that no earlier run has kept are taken from docs/spec.md instead of DWARF"),
    ("tabulate", "tables are plainer"),
)


def run(context: Context, _: argparse.Namespace) -> Report:
    """Every row is tried by itself; one that fails says why and makes the exit code 2."""
    from importlib import metadata  # here: it takes long, and every start imports every command

    report = Report("status", f"coronel-gdb {VERSION}")

    def row(name: str, value: Callable[[], str]) -> None:
        try:
            report.facts.append((name, value()))
        except CoronelError as error:
            report.facts.append((name, "-"))
            report.not_checked.append(Absent(name, str(error)))

    for name, value in context.target.facts():
        report.facts.append((name, value))
    row("kernel", lambda: str(context.target.kernel() or "none loaded"))
    row("memory", lambda: f"{context.target.memory.describe()}")
    row("paging", lambda: f"{context.cpu.mode}, cr3 {context.cpu.cr3:#x}")
    row("profile", lambda: f"{context.profile.name}, types from {context.profile.source}")
    report.facts += context.added.plugins
    report.facts.append(("python", sys.version.split()[0]))
    for package, loss in _PACKAGES:
        try:
            report.facts.append((package, metadata.version(package)))
        except metadata.PackageNotFoundError:
            report.facts.append((package, "-"))
            report.not_checked.append(Absent(package, f"not installed for this Python; {loss}"))
    report.not_checked += [Absent(what, why) for what, why in context.problems]
    return report


COMMAND = Command(
    "status",
    "Show what was found, and what is missing.",
    "Tries everything that the other commands need, and says why something does not work here.",
    "coronel status",
    (),
    run,
)
