"""`coronel COMMAND --dump FILE --kernel ELF`, or `--qmp SOCKET`: every command, without a debugger."""

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import cache, cached_property
from pathlib import Path
from shutil import get_terminal_size
from typing import TYPE_CHECKING, cast

from coronel_gdb import VERSION
from coronel_gdb.backends import triage
from coronel_gdb.backends.shell import OPTIONS, PRINTED, explain, overview, printed, valued
from coronel_gdb.commands import profile
from coronel_gdb.commands.command import Command, Context
from coronel_gdb.dumps.reader import DumpReader
from coronel_gdb.errors import CoronelError, KernelError, UsageError
from coronel_gdb.plugins import Loaded, command_line_only, load
from coronel_gdb.profiles.schema import ResolvedProfile
from coronel_gdb.render.formats import HTML, JSON, Renderer
from coronel_gdb.report import Absent, ExitCode, Report

if TYPE_CHECKING:
    import argparse

    from coronel_gdb.backends.dump_host import DumpTarget
    from coronel_gdb.backends.qemu_host import QemuTarget
    from coronel_gdb.backends.surface import Progress
    from coronel_gdb.protocols import Target

_READINGS = 5
_SHORT = {"-o": "--output"}
_PROFILE = "`coronel profile new --kernel ELF`, `coronel profile check FILE [--kernel ELF]`"
_TRIAGE = "coronel triage DIR|FILE… [--kernel ELF] [--scheduler ADDRESS]"


@dataclass(frozen=True, slots=True)
class Source:
    """What is looked at, as the command line says."""

    dump: Path | None
    qmp: Path | None
    kernel: Path | None
    cpu: int
    cr3: int | None


class _Context(Context):
    """The words of this surface where a debugger's would not help."""

    @cached_property
    def profile(self) -> ResolvedProfile:
        """As everywhere; `KernelError` names the option when no file was given."""
        if self.target.kernel() is None:
            raise KernelError("no kernel file: name it with --kernel KERNEL.elf")
        return super().profile


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line; 0 checked and clean, 1 findings, 2 could not check."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    # numpy's threads for linear algebra, which nobody does here, would cost as much as the rest of it.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    try:
        text, code, failed = _run(words)
    except CoronelError as error:
        text, code, failed = f"coronel: {error}", ExitCode.NOT_CHECKED, True
    except KeyboardInterrupt:
        text, code, failed = "coronel: interrupted, nothing was checked", ExitCode.NOT_CHECKED, True
    return _show(text, code, failed=failed)


def _run(words: list[str]) -> tuple[str, ExitCode, bool]:
    """Text, exit code, and whether the text goes to the error stream."""
    first = words[0] if words else ""  # a command, when it is no option
    loaded = load(first)
    own = [triage.COMMAND, profile.COMMAND]
    if first not in {command.name for command in loaded.commands}:
        own = [*command_line_only(), *own]
    known = {command.name: command for command in (*loaded.commands, *own)}
    given, rest = split_options(words, known)
    name = rest[0] if rest else ""
    if name in ("", "-h", "--help", "help") and len(rest) <= 1:
        return overview(known.values()), ExitCode.CLEAN if name else ExitCode.NOT_CHECKED, False
    if name == "--version":
        return f"coronel-gdb {VERSION}", ExitCode.CLEAN, False
    if name in PRINTED:
        return printed(rest, known.values(), loaded.renderers), ExitCode.CLEAN, False
    if name == "help" and len(rest) == 2:
        rest = [rest[1], "--help"]
        name = rest[0]
    if name not in known:
        raise UsageError(f"no command {name}; there are: {', '.join(known)}")
    command = known[name]
    if "--help" in rest or "-h" in rest:
        return (
            explain(command, opens_files=name in (triage.COMMAND.name, profile.COMMAND.name)),
            ExitCode.CLEAN,
            False,
        )
    return _checked(command, rest[1:], given, loaded)


def _checked(
    command: Command, rest: list[str], given: dict[str, str], loaded: Loaded
) -> tuple[str, ExitCode, bool]:
    from coronel_gdb.backends.surface import failure, interrupted, run_line

    form, output = given.get("--format", "table"), given.get("--output")
    if form not in loaded.renderers:
        *others, last = loaded.renderers
        raise UsageError(f"--format takes {', '.join(others)} or {last}, not {form}")
    if command.name == triage.COMMAND.name:
        return _triaged(rest, loaded.renderers[form], given)
    if command.name == profile.COMMAND.name:
        return _profiled(rest, loaded.renderers[form], given)
    if command.name == "report":
        form = given.get("--format", "html")
        output = output or ("report.html" if form == "html" else None)
    if form == "json" and "--json" not in rest:
        rest = ["--json", *rest]
    try:
        if command.name == "report":
            _name_dump(command.parse(rest).dump, given)
        if output is not None:
            from coronel_gdb.backends.written import check_page, write_page

            if form != "html":
                raise UsageError("--output is for pages: add --format html, or send the output to a file")
            check_page(Path(output))
        target = cache(lambda: target_of(_source(given), loaded.readers))
        with _progress() as progress:
            outcome = run_line(
                settled(command, target),
                rest,
                lambda: _context(target(), loaded, progress),
                form=loaded.renderers[form],
                width=get_terminal_size().columns if sys.stdout.isatty() else 0,
            )
        if output is not None and not outcome.failed and "--json" not in rest:
            write_page(Path(output), outcome.text)
            outcome = replace(outcome, text=f"{command.name}: written to {output}")
    except CoronelError as error:
        outcome = failure(command, str(error))
    except KeyboardInterrupt:
        outcome = interrupted(command)
    except RecursionError:
        outcome = failure(command, "the data is nested too deeply to be followed")
    return outcome.text, outcome.exit_code, outcome.failed


@contextmanager
def _progress() -> "Iterator[Progress]":
    """Shows on a terminal how much is done, on the error stream: a report may go to a file."""
    from coronel_gdb.backends.surface import Progress

    progress = Progress(
        lambda text: print(text, end="", file=sys.stderr, flush=True), wanted=sys.stderr.isatty()
    )
    try:
        yield progress
    finally:
        progress.close()


def _context(target: "Target", loaded: Loaded, progress: "Progress") -> Context:
    return _Context(target, tuple(loaded.problems), progress=progress, added=loaded.added)


def _triaged(rest: list[str], form: Renderer, given: dict[str, str]) -> tuple[str, ExitCode, bool]:
    """Triage opens its own targets, one for each dump."""
    if "--dump" in given or "--qmp" in given or form is HTML:
        return f"triage: name dumps as they are: {_TRIAGE}", ExitCode.NOT_CHECKED, True
    kernel = _kernel(given)
    return _without_target(
        triage.COMMAND, rest, form, lambda context, options: triage.run(options, kernel, context.progress)
    )


def _profiled(rest: list[str], form: Renderer, given: dict[str, str]) -> tuple[str, ExitCode, bool]:
    """A profile is looked at without a target."""
    if "--dump" in given or "--qmp" in given or "--output" in given:
        return f"profile: it looks at files alone: {_PROFILE}", ExitCode.NOT_CHECKED, True
    kernel = _kernel(given)
    options = profile.COMMAND.parse(rest)
    if options.what == "new" and options.file is None and form is not JSON and not options.json:
        return profile.draft(kernel), ExitCode.CLEAN, False
    if options.what != "check":
        raise UsageError(f"profile: {_PROFILE}")
    return _without_target(profile.COMMAND, rest, form, lambda _, options: profile.check(options, kernel))


def _without_target(
    command: Command, rest: list[str], form: Renderer, run: Callable[[Context, "argparse.Namespace"], Report]
) -> tuple[str, ExitCode, bool]:
    """A command that opens what it looks at itself."""
    from coronel_gdb.backends.surface import interrupted, run_line

    rest = ["--json", *rest] if form is JSON and "--json" not in rest else rest
    try:
        with _progress() as progress:
            nothing = Context(cast("Target", None), progress=progress)
            outcome = run_line(replace(command, run=run), rest, lambda: nothing, form=form)
    except KeyboardInterrupt:
        outcome = interrupted(command)
    return outcome.text, outcome.exit_code, outcome.failed


def _name_dump(dump: str | None, given: dict[str, str]) -> None:
    """`coronel report DUMP` is `coronel report --dump DUMP`."""
    if dump is not None and "--dump" in given:
        raise UsageError(f"report: one dump, not both {dump} and {given['--dump']}")
    if dump is not None:
        given["--dump"] = dump


def split_options(words: Sequence[str], known: dict[str, Command]) -> tuple[dict[str, str], list[str]]:
    """The options of this surface, and the words that are the command's; `UsageError` without a value.

    An option that the command has as well, such as `--cr3`, goes to both. Where the command's takes no value
    it is another one, and cannot be meant here.
    """
    names = {option.name for option in OPTIONS}
    given: dict[str, str] = {}
    rest: list[str] = []
    at = 0
    while at < len(words):
        word, at = words[at], at + 1
        if word == "--":
            rest += words[at - 1 :]
            break
        name, equals, value = _SHORT.get(word, word).partition("=")
        if name not in names:
            rest.append(word)
            continue
        if not equals:
            if at == len(words):
                raise UsageError(f"{name} needs a value")
            value, at = words[at], at + 1
        given[name] = value
        if rest and rest[0] in known and name in valued(known[rest[0]]):
            rest += [name, value]
    return given, rest


def _source(given: dict[str, str]) -> Source:
    if ("--dump" in given) == ("--qmp" in given):
        raise UsageError("nothing to look at: --dump FILE or --qmp SOCKET, one of them")
    kernel = _kernel(given)
    return Source(
        Path(given["--dump"]) if "--dump" in given else None,
        Path(given["--qmp"]) if "--qmp" in given else None,
        kernel,
        _number(given, "--cpu", 0) or 0,
        _number(given, "--cr3", None),
    )


def _kernel(given: dict[str, str]) -> Path | None:
    kernel = Path(given["--kernel"]) if "--kernel" in given else None
    if kernel is not None and not kernel.is_file():
        raise UsageError(f"no kernel file at {kernel}")
    return kernel


def _number(given: dict[str, str], name: str, default: int | None) -> int | None:
    if name not in given:
        return default
    try:
        value = int(given[name], 0)
    except ValueError:
        raise UsageError(f"{name} takes a number, not {given[name]}") from None
    if not 0 <= value < 1 << 64:
        raise UsageError(f"{name} {given[name]} is no 64-bit number")
    return value


def target_of(source: Source, readers: Sequence[DumpReader] = ()) -> "DumpTarget | QemuTarget":
    """The target of a command line; a dump is opened when something of it is needed."""
    if source.dump is not None:
        from coronel_gdb.backends.dump_host import DumpTarget

        return DumpTarget(source.dump, source.kernel, cpu=source.cpu, cr3=source.cr3, readers=readers)
    from coronel_gdb.backends.qemu_host import QemuTarget
    from coronel_gdb.backends.qmp import Qmp

    assert source.qmp is not None
    return QemuTarget(Qmp(source.qmp), source.kernel, cpu=source.cpu, cr3=source.cr3)


def settled(command: Command, target: Callable[[], "DumpTarget | QemuTarget"]) -> Command:
    """The command as it runs here: of a running guest, findings count when two readings in a row agree."""

    def run(context: Context, options: "argparse.Namespace") -> Report:
        report = command.run(context, options)
        for _ in range(_READINGS):
            if not report.findings or not target().reread():
                break
            before, report = _named(report), command.run(context.on(target()), options)
            if _named(report) == before:
                break
        else:
            report.findings = []
            report.not_checked.append(
                Absent("findings", f"{_READINGS + 1} readings of the running guest differ: `stop` it first")
            )
        report.facts += target().remarks()
        return report

    return replace(command, run=run)


def _named(report: Report) -> list[tuple[str, int]]:
    return [(finding.code, finding.subject) for finding in report.findings]


def _show(text: str, code: ExitCode, *, failed: bool) -> int:
    stream = sys.stderr if failed else sys.stdout
    with suppress(AttributeError):  # a stream that a caller replaced
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    try:
        print(text, file=stream, flush=True)
    except BrokenPipeError:
        # The reader (a pager, `head`) has seen enough; the interpreter must not fail again at its last flush.
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    except OSError as error:  # a full disk
        with suppress(OSError):
            print(f"coronel: cannot write the report: {error.strerror}", file=sys.stderr)
        return int(ExitCode.NOT_CHECKED)
    return int(code)


if __name__ == "__main__":
    sys.exit(main())
