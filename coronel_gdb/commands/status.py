"""`coronel status`: what was found, what works here, and what could not be loaded and why."""

import argparse
import sys
from collections.abc import Callable
from importlib import import_module

from coronel_gdb import VERSION
from coronel_gdb.commands.command import Command, Context
from coronel_gdb.errors import CoronelError
from coronel_gdb.lift.bulk import is_kept_out
from coronel_gdb.report import Absent, Report

_PACKAGES = (
    (
        "pyelftools",
        "elftools",
        "types that no earlier run has kept are taken from docs/spec.md instead of DWARF",
    ),
    ("tabulate", "tabulate", "tables are plainer"),
    ("numpy", "numpy", "large structures take longer"),
    ("cramjam", "cramjam", "pages of kdumps compressed with snappy or zstd cannot be read"),
    ("lzallright", "lzallright", "pages of kdumps compressed with lzo cannot be read"),
)
"""Distribution, its module, and what is lost without it: nothing else."""


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
    for package, module, loss in _PACKAGES:
        try:
            if module != "numpy" or not is_kept_out():
                import_module(module)
            report.facts.append((package, metadata.version(package)))
        except ModuleNotFoundError:
            report.facts.append((package, "-"))
            report.not_checked.append(Absent(package, f"not installed for this Python; {loss}"))
        except Exception as error:  # made for another Python, damaged: whatever its import says
            report.facts.append((package, "-"))
            said = " ".join(str(error).split())[:100]
            report.not_checked.append(Absent(package, f"{type(error).__name__}: {said}; {loss}"))
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
