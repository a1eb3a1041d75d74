"""What every surface (GDB, LLDB, the command line) does with a command: parse, run, render, exit code."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from coronel_gdb.commands.command import Command, Context, split
from coronel_gdb.errors import CoronelError
from coronel_gdb.render import as_json, formats
from coronel_gdb.render.dialect import Dialect
from coronel_gdb.render.formats import Look, Renderer
from coronel_gdb.report import ExitCode

PREFIXED_ONLY = ("layout", "save", "status")
"""Commands without a name of their own: GDB's TUI has a `layout`, `status` is too common a word."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """`text` to show, no newline at its end. `failed`: nothing was checked, `text` is the one line why.

    With `--json` a failure is a JSON object and counts as shown, so a program always gets JSON.
    """

    text: str
    exit_code: ExitCode
    failed: bool = False


def run_line(
    command: Command,
    arguments: str | Sequence[str],
    context: Callable[[], Context],
    dialect: Dialect = Dialect.GDB,
    form: Renderer = formats.TABLE,
    width: int = 0,
) -> Outcome:
    """Run a command with the arguments as typed (or already split); every `CoronelError` is an outcome.

    `form` is how the report is shown, `width` the terminal's, 0 for none; `--json` outweighs both. `context`
    is called once the arguments are known to be good. Errors that only a host knows pass through; so does
    `KeyboardInterrupt`, for which `interrupted` has the words.
    """
    json_wanted = "--json" in (arguments.split() if isinstance(arguments, str) else arguments)
    try:
        words = split(arguments) if isinstance(arguments, str) else list(arguments)
        json_wanted = "--json" in words
        options = command.parse(words)
        given = context()
        given.profile_file = Path(options.profile) if options.profile else given.profile_file
        report = command.run(given, options)
        form = formats.JSON if json_wanted else form
        return Outcome(form.render(report, Look(dialect, options.verbose, width)), report.exit_code)
    except CoronelError as error:
        if json_wanted:
            return Outcome(as_json.render_error(command.name, str(error)), ExitCode.NOT_CHECKED)
        return failure(command, str(error))


class Progress:
    """Shows on a terminal how much a long command has done, from its second second on."""

    def __init__(self, show: Callable[[str], None], *, wanted: bool) -> None:
        self._show, self._wanted = show, wanted
        self._next = time.monotonic() + 1.0
        self._shown = False

    def __call__(self, done: int, noun: str = "pages") -> None:
        """So many pages, or other things, have been done."""
        if self._wanted and time.monotonic() >= self._next:
            self._next = time.monotonic() + 0.5
            self._shown = True
            self._show(f"\r{done:,} {noun} so far (Ctrl-C ends) ")

    def close(self) -> None:
        """Wipe the line before the report comes."""
        if self._shown:
            self._show("\r" + " " * 60 + "\r")


def failure(command: Command, message: str) -> Outcome:
    """The outcome of a command that could not check, in one line that begins with its name."""
    text = f"{command.name}: {message.removeprefix(command.name + ': ')}"
    return Outcome(text, ExitCode.NOT_CHECKED, failed=True)


def interrupted(command: Command) -> Outcome:
    """The outcome of a command that the user interrupted."""
    return failure(command, "interrupted, nothing was checked")
