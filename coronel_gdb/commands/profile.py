"""`coronel profile new|check`: a first draft of a kernel's profile, and all that is wrong with one."""

import argparse
from pathlib import Path

from coronel_gdb.commands.command import Command, Context, Option
from coronel_gdb.errors import KernelError, UsageError
from coronel_gdb.profiles.resolve import read_profile
from coronel_gdb.report import ExitCode, Report, Table

_MISSING = "missing"


class Checked(Report):
    """A report whose findings are the rows of a table: names, which have no address."""

    @property
    def exit_code(self) -> ExitCode:
        """Findings when that table is there."""
        return ExitCode.FINDINGS if any(table.title == _MISSING for table in self.tables) else ExitCode.CLEAN


def draft(kernel: Path | None) -> str:
    """The text of `profile new`, without a newline at its end."""
    if kernel is None:
        raise UsageError("profile: `new` reads a kernel: name it with --kernel KERNEL.elf")
    try:
        from coronel_gdb.layout.census import read_census
    except ImportError as error:
        raise KernelError(_NO_READER) from error
    from coronel_gdb.profiles.draft import draft as drafted

    return drafted(read_census(kernel), kernel).rstrip("\n")


def check(options: argparse.Namespace, kernel: Path | None) -> Report:
    """What the profile names and the kernel lacks, and what the profile leaves out."""
    from coronel_gdb.profiles.missing import missing, read_known, unnamed

    if options.file is None:
        raise UsageError("profile: name the file to check: `coronel profile check FILE --kernel ELF`")
    profile = read_profile(Path(options.file))
    try:
        known = None if kernel is None else read_known(profile, kernel)
    except ImportError as error:
        raise KernelError(_NO_READER) from error
    found = [(one.where, one.what, ", ".join(one.near)) for one in missing(profile, known)]
    left_out = [(one.where, one.without) for one in unnamed(profile)]
    against = f"the types of {kernel.name}" if kernel else "its own form alone: no --kernel was named"
    count = len(found)
    verdict = f"{count} thing{'s' * (count != 1)} missing" if count else "nothing is missing"
    report = Checked("profile", f"{profile.name}: {verdict}", checked=1)
    report.facts.append(("checked by", against))
    if found:
        report.tables.append(Table(_MISSING, ("where", "what", "near"), found))
    if left_out:
        report.tables.append(Table("left out", ("not named", "without it"), left_out))
    return report


def run(_context: Context, _options: argparse.Namespace) -> Report:
    """The command line runs it: there is no target."""
    raise UsageError("profile: it looks at files alone: run it on the command line")


_NO_READER = "the Python package pyelftools is missing: without it no types can be read"
COMMAND = Command(
    "profile",
    "Draft a profile of a kernel, or say all that is wrong with one.",
    "`new` looks for heaps, lists of frames and regions, processes and a trace in the kernel's debug\n"
    "information and prints a profile (docs/profiles.md), with a TODO for what was not found. `check` lists\n"
    "all that a profile names and the kernel lacks, with near names. Exit code: 0 nothing is missing, 1\n"
    "something is, 2 could not check.",
    "coronel profile check mine.toml",
    (
        Option("what", "new or check", "new|check"),
        Option("file", "the profile to check", "FILE"),
    ),
    run,
)
