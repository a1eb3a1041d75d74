"""The commands inside GDB: `coronel`, the short names, help, completion. Import inside GDB only."""

import gdb

from coronel_gdb.backends.gdb_host import GdbTarget
from coronel_gdb.commands.command import Command, Context, split
from coronel_gdb.errors import CoronelError
from coronel_gdb.plugins import commands
from coronel_gdb.render import as_json, as_table
from coronel_gdb.report import ExitCode

_EXIT = "coronel_exit"
_PREFIXED_ONLY = ("status",)  # too common a word for a command of its own


def install(problems: tuple[tuple[str, str], ...] = ()) -> None:
    """Register everything; `problems` are what could not be loaded and why."""
    available = list(commands())
    _Prefix(available)
    for command in available:
        _GdbCommand(f"coronel {command.name}", command, problems)
        if command.name not in _PREFIXED_ONLY:
            _GdbCommand(command.name, command, problems)


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

    def __init__(self, name: str, command: Command, problems: tuple[tuple[str, str], ...]) -> None:
        self._command = command
        self._problems = problems
        self.__doc__ = command.help()
        super().__init__(name, gdb.COMMAND_DATA)

    def invoke(self, argument: str, from_tty: bool) -> None:
        """Run it; every outcome also sets `$coronel_exit` to 0, 1 or 2."""
        gdb.set_convenience_variable(_EXIT, int(ExitCode.NOT_CHECKED))
        json_wanted = False
        try:
            words = split(argument)
            json_wanted = "--json" in words
            options = self._command.parse(words)
            report = self._command.run(Context(GdbTarget(), self._problems), options)
        except CoronelError as error:
            if json_wanted:
                gdb.write(as_json.render_error(self._command.name, str(error)) + "\n")
                return
            raise gdb.GdbError(
                f"{self._command.name}: {str(error).removeprefix(self._command.name + ': ')}"
            ) from error
        except KeyboardInterrupt:
            raise gdb.GdbError(f"{self._command.name}: interrupted, nothing was checked") from None
        except gdb.error as error:
            raise gdb.GdbError(f"{self._command.name}: {error}") from error
        gdb.set_convenience_variable(_EXIT, int(report.exit_code))
        gdb.write((as_json.render(report) if json_wanted else as_table.render(report)) + "\n")

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
