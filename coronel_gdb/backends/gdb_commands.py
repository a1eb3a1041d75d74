"""The commands inside GDB: `coronel`, the short names, help, completion. Import inside GDB only."""

import sys
from collections.abc import Callable

import gdb

from coronel_gdb.backends.gdb_core import current_target
from coronel_gdb.backends.gdb_kept import KeptRoute
from coronel_gdb.backends.surface import Progress, failure, interrupted, run_line
from coronel_gdb.commands.command import Command, Context
from coronel_gdb.plugins import commands
from coronel_gdb.profiles.schema import ResolvedProfile
from coronel_gdb.report import ExitCode

_EXIT = "coronel_exit"
_PREFIXED_ONLY = ("status", "save", "whatis")  # too common words for commands of their own, or GDB's


def install(problems: tuple[tuple[str, str], ...] = ()) -> None:
    """Register everything; `problems` are what could not be loaded and why."""
    available = list(commands())
    _Prefix(available)
    kept = KeptRoute()
    profiles: dict[object, ResolvedProfile] = {}

    def context(progress: Progress) -> Context:
        return Context(current_target(kept), problems, profiles, progress)

    for command in available:
        _GdbCommand(f"coronel {command.name}", command, context)
        if command.name not in _PREFIXED_ONLY:
            _GdbCommand(command.name, command, context)


def _show(text: str) -> None:
    gdb.write(text, gdb.STDERR)
    gdb.flush(gdb.STDERR)


class _Prefix(gdb.Command):
    """`coronel`: lists the commands."""

    def __init__(self, available: list[Command]) -> None:
        self._available = available
        self.__doc__ = "Check a kernel's memory structures against the reference model."
        super().__init__("coronel", gdb.COMMAND_DATA, prefix=True)

    def invoke(self, argument: str, from_tty: bool) -> None:
        """List the commands; an unknown word is an error that names them."""
        if argument.strip():
            names = ", ".join(command.name for command in self._available)
            raise gdb.GdbError(f"coronel: no command {argument.split(maxsplit=1)[0]}; there are: {names}")
        width = max(len(command.name) for command in self._available)
        for command in self._available:
            short = command.name if command.name not in _PREFIXED_ONLY else f"coronel {command.name}"
            gdb.write(f"{short:<{width + 8}}{command.summary}\n")
        gdb.write("`help COMMAND` explains one; every command takes --json.\n")


class _GdbCommand(gdb.Command):
    """One command under one name."""

    def __init__(self, name: str, command: Command, context: Callable[[Progress], Context]) -> None:
        self._command = command
        self._context = context
        self.__doc__ = command.help()
        super().__init__(name, gdb.COMMAND_DATA)

    def invoke(self, argument: str, from_tty: bool) -> None:
        """Run it; every outcome also sets `$coronel_exit` to 0, 1 or 2."""
        gdb.set_convenience_variable(_EXIT, int(ExitCode.NOT_CHECKED))
        progress = Progress(_show, wanted=from_tty and bool(sys.__stdout__ and sys.__stdout__.isatty()))
        try:
            outcome = run_line(self._command, argument, lambda: self._context(progress))
        except KeyboardInterrupt:
            outcome = interrupted(self._command)
        except gdb.error as error:
            outcome = failure(self._command, str(error))
        finally:
            progress.close()
        if outcome.failed:
            raise gdb.GdbError(outcome.text)
        gdb.set_convenience_variable(_EXIT, int(outcome.exit_code))
        gdb.write(outcome.text + "\n")

    def complete(self, text: str, word: str) -> object:
        """Options after a dash, the debugger's expressions elsewhere."""
        last = text.rsplit(" ", maxsplit=1)[-1]
        if last.startswith("-"):
            # GDB splits words at dashes: it wants only what follows the part it already has.
            cut = len(last) - len(word)
            return [name[cut:] for name in self._command.option_names() if name.startswith(last)]
        if any(option.value and not option.name.startswith("--") for option in self._command.options):
            return gdb.COMPLETE_EXPRESSION
        return gdb.COMPLETE_NONE
