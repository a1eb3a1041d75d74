"""The commands inside LLDB: `coronel`, the short names, help, completion. Import inside LLDB only."""

import json
import os
import sys
from collections.abc import Iterator, MutableMapping
from string import ascii_letters

import lldb

import coronel_gdb
from coronel_gdb.backends.lldb_core import current_target
from coronel_gdb.backends.lldb_interrupt import interruptible
from coronel_gdb.backends.surface import PREFIXED_ONLY, interrupted, run_line
from coronel_gdb.commands.command import COMMON, Command, Context, Option
from coronel_gdb.plugins import Loaded, load
from coronel_gdb.profiles.schema import ResolvedProfile
from coronel_gdb.render.dialect import Dialect
from coronel_gdb.report import ExitCode

_EXIT = "coronel_exit"
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
    loaded = load()
    loaded.problems += problems
    available = loaded.commands
    profiles: dict[object, ResolvedProfile] = {}
    habits = dict(_habits(debugger, [command.name for command in available]))
    _do(debugger, f'command container add -o -h "{_SUMMARY}" coronel')
    for command in available:
        members = {"command": command, "loaded": loaded, "profiles": profiles}
        kind = type(command.name, (_LldbCommand,), members)
        setattr(Registered, _identifier(command.name), kind)
        path = f"{__name__}.{Registered.__name__}.{_identifier(command.name)}"
        _do(debugger, f"command script add -o -p -c {path} coronel {command.name}")
        if command.name not in PREFIXED_ONLY:
            _do(debugger, f"command script add -o -p -c {path} {command.name}")
    for short, meaning in habits.items():
        if _resolve(debugger, short) != meaning:
            _do(debugger, f"command alias {short} {meaning}")


class _LldbCommand:
    """One command under one name, as LLDB wants it: LLDB splits the line, and so it completes the options."""

    command: Command
    loaded: Loaded
    profiles: dict[object, ResolvedProfile]

    def __init__(self, debugger: "lldb.SBDebugger", session: Session) -> None:
        self._session = session
        self._options: list[str] = []

    def get_options_definition(self) -> dict[str, dict[str, object]]:
        """Long name → what LLDB wants to know of the option; one without a type of value takes none."""
        taken: set[str] = set()
        options = sorted(self.command.flagged(), key=lambda option: option not in COMMON)
        return {
            option.name.removeprefix("--"): {"short_option": _letter(option, taken), **_definition(option)}
            for option in options
        }

    def get_args_definition(self) -> list[list[dict[str, object]]]:
        """The arguments as one repeated one, of the last one's kind: LLDB completes no other."""
        return [[{"arg_type": _kind(option)[0], "repeat": "star"}] for option in self.command.by_place()[-1:]]

    def option_parsing_started(self) -> None:
        """A new line; LLDB itself refuses what is no option, so nothing has been checked until it runs."""
        self._options = []
        self._session[_EXIT] = int(ExitCode.NOT_CHECKED)

    def set_option_value(self, _execution: "lldb.SBExecutionContext", name: str, value: str) -> bool:
        """One option of the line; LLDB has an empty value for one that takes none."""
        takes_none = any(o.name == f"--{name}" and o.value is None for o in self.command.flagged())
        self._options.append(f"--{name}" if takes_none else f"--{name}={value}")
        return True

    def __call__(
        self,
        debugger: "lldb.SBDebugger",
        arguments: "lldb.SBStructuredData",
        execution: "lldb.SBExecutionContext",
        result: "lldb.SBCommandReturnObject",
    ) -> None:
        """Run it; every outcome also sets `coronel_exit` of the `script` prompt to 0, 1 or 2."""
        stream = lldb.SBStream()
        arguments.GetAsJSON(stream)
        places = json.loads(stream.GetData())
        words = [*self._options, *(["--", *places] if places else [])]
        try:
            with interruptible(debugger):
                outcome = run_line(
                    self.command,
                    words,
                    lambda: self._context(debugger),
                    Dialect.LLDB,
                    width=debugger.GetTerminalWidth() if os.isatty(1) else 0,
                )
        except KeyboardInterrupt:
            outcome = interrupted(self.command)
        if outcome.failed:
            result.SetError(outcome.text)
            return
        self._session[_EXIT] = int(outcome.exit_code)
        result.AppendMessage(outcome.text)

    def _context(self, debugger: "lldb.SBDebugger") -> Context:
        problems, added = tuple(self.loaded.problems), self.loaded.added
        return Context(current_target(debugger), problems, self.profiles, added=added)

    def get_short_help(self) -> str:
        """One line for `help`."""
        return self.command.summary

    def get_long_help(self) -> str:
        """What `help COMMAND` shows behind the options."""
        return f"\n{self.command.explanation()}\n\nexample: {self.command.example}"


def _definition(option: Option) -> dict[str, object]:
    if option.value is None:
        return {"help": option.help}
    kind, completion = _kind(option)
    known = {"enum_values": [[word, word] for word in option.choices]} if option.choices else {}
    return {"help": option.help, "value_type": kind, "completion_type": completion, **known}


def _kind(option: Option) -> tuple[int, int]:
    """LLDB's type of the value, and what completes it."""
    if option.is_file:
        return lldb.eArgTypeFilename, lldb.eDiskFileCompletion
    if option.choices:
        return lldb.eArgTypeValue, lldb.eNoCompletion
    return lldb.eArgTypeExpression, lldb.eVariablePathCompletion


def _letter(option: Option, taken: set[str]) -> str:
    """A short form as each of LLDB's options has one, for it leaves out an option that has none."""
    name = option.name.removeprefix("--")
    letter = next(c for c in name + name.upper() + ascii_letters if c.isalpha() and c not in taken)
    taken.add(letter)
    return letter


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
