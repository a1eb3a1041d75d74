"""The commands inside GDB: `coronel`, the short names, help, completion. Import inside GDB only."""

import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

import gdb

from coronel_gdb.backends.gdb_habits import is_free, keeping_habits
from coronel_gdb.backends.gdb_session import Session
from coronel_gdb.backends.surface import Progress
from coronel_gdb.commands.command import Command

_PART = 1 << 18  # characters written at once
_FEATURES = {
    "gdb_parameters": "set coronel",
    "gdb_watch": "coronel watch-heap",
    "gdb_functions": "$phys, $heap_block, $frame_owner",
    "gdb_printers": "pretty-printers",
    "gdb_mi": "MI commands",
}
"""Module of this folder → what is lost where it cannot be loaded. Each has `install(Session)`."""


def install(problems: tuple[tuple[str, str], ...] = ()) -> None:
    """Register everything; `problems` are what could not be loaded and why. A feature fails alone."""
    session = Session(problems)
    short = [command for command in session.commands if is_free(command)]
    names = [command.name for command in short]
    keeping_habits(["coronel", *names], lambda: _register(session, short))
    for module, loss in _FEATURES.items():
        try:
            import_module(f"coronel_gdb.backends.{module}").install(session)
        except Exception as error:  # whatever it is: the commands work without the feature
            session.problems.append((loss, f"{type(error).__name__} in {module}: {error}"))
    for command in session.extra:
        _GdbCommand(f"coronel {command.name}", command, session)


def _register(session: Session, short: Sequence[Command]) -> None:
    _Prefix(session, short)
    for command in session.commands:
        _GdbCommand(f"coronel {command.name}", command, session)
    for command in short:
        _GdbCommand(command.name, command, session)


def _show(text: str) -> None:
    gdb.write(text, gdb.STDERR)
    gdb.flush(gdb.STDERR)


def _write(text: str) -> None:
    """Text and a newline; some MiB go by parts, for GDB copies several times what it is given."""
    for start in range(0, len(text), _PART):
        gdb.write(text[start : start + _PART])
    gdb.write("\n")


class _Prefix(gdb.Command):
    """`coronel`: lists the commands."""

    def __init__(self, session: Session, short: Sequence[Command]) -> None:
        self._session = session
        self._short = short
        self.__doc__ = "Check a kernel's memory structures against the reference model."
        super().__init__("coronel", gdb.COMMAND_DATA, prefix=True)

    def invoke(self, argument: str, from_tty: bool) -> None:
        """List the commands; an unknown word is an error that names them."""
        available = [*self._session.commands, *self._session.extra]
        if argument.strip():
            names = ", ".join(command.name for command in available)
            raise gdb.GdbError(f"coronel: no command {argument.split(maxsplit=1)[0]}; there are: {names}")
        width = max(len(command.name) for command in available)
        for command in available:
            name = command.name if command in self._short else f"coronel {command.name}"
            gdb.write(f"{name:<{width + 10}}{command.summary}\n")
        gdb.write("`help COMMAND` explains one; every command takes --json.\n")


class _GdbCommand(gdb.Command):
    """One command under one name."""

    def __init__(self, name: str, command: Command, session: Session) -> None:
        self._command = command
        self._session = session
        self.__doc__ = command.help()
        super().__init__(name, gdb.COMMAND_DATA)

    def invoke(self, argument: str, from_tty: bool) -> None:
        """Run it and show what comes out; a command that could not check is an error of GDB's."""
        progress = Progress(_show, wanted=from_tty and bool(sys.__stdout__ and sys.__stdout__.isatty()))
        try:
            outcome = self._session.run(self._command, argument, progress)
        finally:
            progress.close()
        if outcome.failed:
            raise gdb.GdbError(outcome.text)
        _write(outcome.text)

    def complete(self, text: str, word: str | None) -> object:
        """Options after a dash, elsewhere what the option or argument there takes."""
        *before, last = text.split(" ")
        # GDB splits words at dashes and slashes: it wants only what follows the part it already has.
        cut = len(last) - len(word or "")
        if last.startswith("-"):
            return [name[cut:] for name in self._command.option_names() if name.startswith(last)]
        option = self._command.expected([typed for typed in before if typed])
        if option is None:
            return gdb.COMPLETE_NONE
        if option.choices:
            return [choice for choice in option.choices if choice.startswith(last)]
        return [name[cut:] for name in _files(last)] if option.is_file else gdb.COMPLETE_EXPRESSION


def _files(typed: str) -> list[str]:
    """Names that go on so; of a single folder what is in it too, for GDB ends a single name by a blank."""
    folder, slash, begun = typed.rpartition("/")
    try:
        inside = sorted(Path(folder + slash or ".").iterdir())
    except OSError:
        return []
    found = [folder + slash + p.name + "/" * p.is_dir() for p in inside if p.name.startswith(begun)]
    return found + _files(found[0]) if len(found) == 1 and found[0].endswith("/") else found
