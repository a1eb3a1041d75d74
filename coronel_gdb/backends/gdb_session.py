"""What everything loaded into one GDB shares: the commands, what is kept, what was set.

Import this inside GDB only.
"""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path

import gdb

from coronel_gdb.backends.gdb_console import printed
from coronel_gdb.backends.gdb_core import current_target
from coronel_gdb.backends.gdb_kept import KeptRoute
from coronel_gdb.backends.surface import Outcome, failure, interrupted, run_line
from coronel_gdb.commands.command import Command, Context, Progress, no_progress
from coronel_gdb.errors import CoronelError
from coronel_gdb.lift.bulk import plain
from coronel_gdb.plugins import load
from coronel_gdb.profiles.schema import ResolvedProfile
from coronel_gdb.report import ExitCode

_EXIT = "coronel_exit"


class Session:
    """One for each time that the commands are loaded.

    `problems` are what could not be loaded and why; `extra` are commands that GDB alone has. `verbose`,
    `profile` (a file, or nothing) and `numpy` are asked at every command: they are the user's settings.
    """

    def __init__(self, problems: Sequence[tuple[str, str]]) -> None:
        self._loaded = load()
        self.problems = self._loaded.problems
        self.problems += problems
        self.commands = self._loaded.commands
        self.extra: list[Command] = []
        self.verbose: Callable[[], bool] = lambda: False
        self.profile: Callable[[], str] = lambda: ""
        self.numpy: Callable[[], bool] = lambda: True
        self.kept = KeptRoute()
        self._profiles: dict[object, ResolvedProfile] = {}

    def context(self, progress: Progress = no_progress) -> Context:
        """What a command is given now."""
        target, added = current_target(self.kept), self._loaded.added
        context = Context(target, tuple(self.problems), self._profiles, progress, added)
        name = self.profile()
        context.profile_file = Path(name) if name else None
        return context

    def run(
        self,
        command: Command,
        arguments: str | Sequence[str],
        progress: Progress = no_progress,
    ) -> Outcome:
        """Run a command as the settings want it; every outcome also sets `$coronel_exit` to 0, 1 or 2."""
        gdb.set_convenience_variable(_EXIT, int(ExitCode.NOT_CHECKED))
        if self.verbose():
            more = "--verbose"
            arguments = f"{more} {arguments}" if isinstance(arguments, str) else [more, *arguments]
        try:
            with nullcontext() if self.numpy() else plain():
                outcome = run_line(command, arguments, lambda: self.context(progress), width=terminal_width())
        except KeyboardInterrupt:
            outcome = interrupted(command)
        except gdb.error as error:
            outcome = failure(command, str(error))
        gdb.set_convenience_variable(_EXIT, int(outcome.exit_code))
        return outcome


def terminal_width() -> int:
    """`show width` without the last column, at which GDB breaks lines itself; 0 for no limit."""
    return max(0, int(gdb.parameter("width") or 0) - 1)


def address_of(value: "gdb.Value") -> int:
    """A pointer or an integer as 64 bits, a structure as its address; `gdb.GdbError` for anything else."""
    try:
        if value.type.strip_typedefs().code in (gdb.TYPE_CODE_STRUCT, gdb.TYPE_CODE_UNION):
            value = value.address
        return int(value.cast(gdb.lookup_type("unsigned long"))) & (1 << 64) - 1
    except (gdb.error, AttributeError, ValueError) as error:
        raise gdb.GdbError(f"no address: {error}") from error


def type_name(text: str) -> str:
    """GDB's name of a type that a profile names by a variable; other names are GDB's own."""
    if not text.startswith("decltype("):
        return text
    try:  # asks for the type alone: nothing is read
        told = printed(f"whatis {text.removeprefix('decltype(')[:-1]}")
    except gdb.error:
        return text
    return told.strip().removeprefix("type = ")


def refused(function: str, error: CoronelError) -> "gdb.GdbError":
    """Why a function of ours has no value."""
    return gdb.GdbError(f"${function}: {error}")
