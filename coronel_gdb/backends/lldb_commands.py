"""The commands inside LLDB: `coronel`, the short names, help, completion. Import inside LLDB only."""

import sys
from collections.abc import Iterator, MutableMapping

import lldb

import coronel_gdb
from coronel_gdb.backends.lldb_core import current_target
from coronel_gdb.backends.lldb_interrupt import interruptible
from coronel_gdb.backends.surface import interrupted, run_line
from coronel_gdb.commands.command import Command, Context
from coronel_gdb.plugins import commands
from coronel_gdb.profiles.schema import ResolvedProfile
from coronel_gdb.render.dialect import Dialect
from coronel_gdb.report import ExitCode

_EXIT = "coronel_exit"
_PREFIXED_ONLY = ("status", "save", "whatis")  # too common words for commands of their own
_SUMMARY = "Check a kernel's memory structures against the reference model."

Session = MutableMapping[str, object]
"""The variables of LLDB's `script` prompt."""


class Registered:
    """One class a command, by the name LLDB looks it up by."""


def install(
    debugger: "lldb.SBDebugger", session: Session, problems: tuple[tuple[str, str], ...] = ()
) -> None:
    """Register everything; `problems` are what could not be loaded and why.

    Abbreviations that meant one of LLDB's own commands before (`fr`, `reg`, `he`) go on meaning it.
    """
    session["coronel_gdb"] = coronel_gdb  # LLDB looks the classes up from there
    session.setdefault(_EXIT, int(ExitCode.NOT_CHECKED))  # nothing has been checked yet
    available = list(commands())
    profiles: dict[object, ResolvedProfile] = {}
    habits = dict(_habits(debugger, [command.name for command in available]))
    _do(debugger, f'command container add -o -h "{_SUMMARY}" coronel')
    for command in available:
        members = {"command": command, "problems": problems, "profiles": profiles}
        kind = type(command.name, (_LldbCommand,), members)
        setattr(Registered, _identifier(command.name), kind)
        path = f"{__name__}.{Registered.__name__}.{_identifier(command.name)}"
        _do(debugger, f"command script add -o -c {path} coronel {command.name}")
        if command.name not in _PREFIXED_ONLY:
            _do(debugger, f"command script add -o -c {path} {command.name}")
    for short, meaning in habits.items():
        if _resolve(debugger, short) != meaning:
            _do(debugger, f"command alias {short} {meaning}")


class _LldbCommand:
    """One command under one name, as LLDB wants it."""

    command: Command
    problems: tuple[tuple[str, str], ...]
    profiles: dict[object, ResolvedProfile]

    def __init__(self, debugger: "lldb.SBDebugger", session: Session) -> None:
        self._session = session

    def __call__(
        self,
        debugger: "lldb.SBDebugger",
        arguments: str,
        execution: "lldb.SBExecutionContext",
        result: "lldb.SBCommandReturnObject",
    ) -> None:
        """Run it; every outcome also sets `coronel_exit` of the `script` prompt to 0, 1 or 2."""
        self._session[_EXIT] = int(ExitCode.NOT_CHECKED)
        try:
            with interruptible(debugger):
                outcome = run_line(self.command, arguments, lambda: self._context(debugger), Dialect.LLDB)
        except KeyboardInterrupt:
            outcome = interrupted(self.command)
        if outcome.failed:
            result.SetError(outcome.text)
            return
        self._session[_EXIT] = int(outcome.exit_code)
        result.AppendMessage(outcome.text)

    def _context(self, debugger: "lldb.SBDebugger") -> Context:
        return Context(current_target(debugger), self.problems, self.profiles)

    def get_short_help(self) -> str:
        """One line for `help`."""
        return self.command.summary

    def get_long_help(self) -> str:
        """What `help COMMAND` shows."""
        return self.command.help()


def _identifier(name: str) -> str:
    return name.replace("-", "_")


def _habits(debugger: "lldb.SBDebugger", names: list[str]) -> Iterator[tuple[str, str]]:
    """(abbreviation, command) for the unique abbreviations that a new command of that name would end."""
    for short in {name[:length] for name in names for length in range(1, len(name))}:
        meaning = _resolve(debugger, short)
        if meaning and meaning != short and meaning not in names:
            yield short, meaning


def _resolve(debugger: "lldb.SBDebugger", short: str) -> str:
    """What LLDB takes an abbreviation for, empty when for nothing or too much."""
    result = lldb.SBCommandReturnObject()
    debugger.GetCommandInterpreter().ResolveCommand(short, result)
    return str(result.GetOutput()).strip() if result.Succeeded() else ""


def _do(debugger: "lldb.SBDebugger", line: str) -> None:
    result = lldb.SBCommandReturnObject()
    debugger.GetCommandInterpreter().HandleCommand(line, result, False)
    if not result.Succeeded():
        sys.stderr.write(f"coronel-gdb: {line}: {str(result.GetError()).strip()}\n")
