"""What a command is, and what it is given to work with."""

import argparse
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import groupby, pairwise
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING, NoReturn, Protocol

from coronel_gdb.commands.additions import NOTHING_ADDED, Additions
from coronel_gdb.errors import KernelError, UsageError
from coronel_gdb.lift.cpu import Cpu, read_cpu
from coronel_gdb.lift.space import AddressSpace
from coronel_gdb.profiles.resolve import find, read_profile, resolve
from coronel_gdb.profiles.schema import Profile, ResolvedProfile
from coronel_gdb.protocols import Target
from coronel_gdb.report import Absent, Report
from model.types import PhysicalAddress

if TYPE_CHECKING:
    from coronel_gdb.lift.chronicle import Chronicle

_COLUMNS = 78  # of help texts


class Progress(Protocol):
    """Is told how much a long command has done."""

    def __call__(self, done: int, noun: str = ..., /) -> None:
        """So many pages, or other things."""


def no_progress(_done: int, _noun: str = "pages") -> None:
    """Nobody looks."""


class Context:
    """The stopped target and what is derived from it, each found when first needed."""

    def __init__(
        self,
        target: Target,
        problems: tuple[tuple[str, str], ...] = (),
        profiles: dict[object, ResolvedProfile] | None = None,
        progress: Progress = no_progress,
        added: Additions = NOTHING_ADDED,
    ) -> None:
        self.target = target
        self.added = added
        """What plugins add."""
        self.profile_file: Path | None = None
        """The profile that the user named, whatever the kernel's symbols are."""
        self.progress = progress
        """Is told how much a long command has done so far; a surface may show it."""
        self.problems = problems
        """What could not be loaded, and why, for `coronel status`."""
        self.kept: dict[str, object] = {}
        """What commands have found of this stop and others can use again."""
        self._profiles = {} if profiles is None else profiles
        """Profiles of earlier commands, by kernel file and its time; a surface may keep them."""

    def on(self, target: Target) -> "Context":
        """Another target, looked at with the same settings; nothing that was derived goes along."""
        other = type(self)(target, self.problems, None, self.progress, self.added)
        other.profile_file = self.profile_file
        return other

    @cached_property
    def cpu(self) -> Cpu:
        """The current CPU's paging registers."""
        return read_cpu(self.target)

    @cached_property
    def space(self) -> AddressSpace:
        """The address space of the current CR3; `TargetError` before 64-bit paging is on."""
        return AddressSpace(self.target.memory, self.cpu.root, self.cpu.paging())

    def space_of(self, root: PhysicalAddress) -> AddressSpace:
        """The address space of another top table."""
        return AddressSpace(self.target.memory, root, self.cpu.paging())

    @cached_property
    def chronicle(self) -> "Chronicle":
        """What the kernel's trace tells; nothing is read before it is asked."""
        from coronel_gdb.lift.chronicle import Chronicle  # here, as `missing` below: few commands ask for it

        return Chronicle(self.target, lambda: self.space, lambda: self.named)

    @cached_property
    def named(self) -> Profile:
        """The profile that the user named, or that fits the kernel; `KernelError` when there is none."""
        if self.profile_file is not None:
            from coronel_gdb.profiles.missing import missing

            profile = read_profile(self.profile_file)
            for one in missing(profile, None):
                more = f"`coronel profile check {self.profile_file}` lists all that is wrong"
                raise KernelError(f"profile {profile.name}: {one.where}: {one.what} ({more})")
            return profile
        return find(self.target.symbol, self.target.kernel(), self.added.profiles)

    @cached_property
    def profile(self) -> ResolvedProfile:
        """The profile that fits the kernel, its types looked up; `KernelError` when none does."""
        kernel = self.target.kernel()
        key = _version(kernel) and (_version(kernel), _version(self.profile_file))
        if key in self._profiles:
            return self._profiles[key]
        try:
            resolved = resolve(self.named, kernel)
        except KernelError as error:
            if kernel is None:
                raise KernelError(
                    "no kernel loaded: name its ELF file (GDB: `file KERNEL`, LLDB: `target create KERNEL`)"
                ) from error
            raise
        if key is not None:
            self._profiles[key] = resolved
        return resolved


def _version(file: Path | None) -> object:
    """What tells one kernel file, or profile, from another; None when there is none."""
    try:
        found = file.stat() if file is not None else None
    except OSError:
        return None
    return found and (file, found.st_mtime_ns, found.st_size, found.st_ino)


@dataclass(frozen=True, slots=True)
class Option:
    """One option or argument of a command, as argparse takes it; `value` names what it takes."""

    name: str
    help: str
    value: str | None = None
    repeated: bool = False

    @property
    def is_flagged(self) -> bool:
        """Whether it is typed with its name, and is no argument by its place."""
        return self.name.startswith("--")

    @property
    def choices(self) -> tuple[str, ...]:
        """The words that it takes, of a value like `r|w|x`; none where it takes others."""
        words = (self.value or "").split("|")
        return tuple(words) if len(words) > 1 and not words[0].isupper() else ()

    @property
    def is_file(self) -> bool:
        """Whether it takes the name of a file."""
        return self.value == "FILE"


@dataclass(frozen=True, slots=True)
class Command:
    """`name` as typed, one line of `summary`, `details` and `example` for its help, and what runs."""

    name: str
    summary: str
    details: str
    example: str
    options: tuple[Option, ...]
    run: Callable[[Context, argparse.Namespace], Report]

    def parse(self, words: list[str]) -> argparse.Namespace:
        """The options; `UsageError` with the usage line when they do not fit."""
        return self._parser().parse_args(words)

    def usage(self) -> str:
        """The usage line."""
        return _usage(self._parser())

    def help(self) -> str:
        """The whole help text, for a terminal of 80 columns."""
        rows = [(f"{o.name} {o.value or ''}".strip(), o.help) for o in (*self.options, *COMMON)]
        width = max(len(name) for name, _ in rows) + 4
        options = [
            fill(text, _COLUMNS, initial_indent=f"  {name:<{width - 2}}", subsequent_indent=" " * width)
            for name, text in rows
        ]
        return "\n".join(
            [
                self.summary,
                "",
                self.explanation(),
                "",
                "options:",
                *options,
                "",
                f"example: {self.example}",
            ]
        )

    def explanation(self) -> str:
        """Usage and details, for a surface that lists the options itself."""
        usage = fill(f"usage: {self.usage()}", _COLUMNS, subsequent_indent=" " * 7, break_on_hyphens=False)
        parts = groupby(self.details.splitlines(), lambda line: not line or line.startswith(" "))
        details = [
            "\n".join(lines) if is_kept else fill(" ".join(lines), _COLUMNS) for is_kept, lines in parts
        ]
        return "\n".join([usage, "", *details])

    def flagged(self) -> list[Option]:
        """The options that are typed with their names."""
        return [option for option in (*self.options, *COMMON) if option.is_flagged]

    def by_place(self) -> list[Option]:
        """The arguments without a name, in their order."""
        return [option for option in self.options if not option.is_flagged]

    def option_names(self) -> list[str]:
        """The options that completion offers."""
        return [option.name for option in self.flagged()]

    def expected(self, words: Sequence[str]) -> Option | None:
        """What comes behind those words: the value of an option, an argument, or None for neither."""
        valued = {option.name: option for option in self.flagged() if option.value is not None}
        if words and words[-1] in valued:
            return valued[words[-1]]
        places = self.by_place()
        taken = sum(
            not word.startswith("--") and before not in valued for before, word in pairwise(["", *words])
        )
        return places[min(taken, len(places) - 1)] if places else None

    def _parser(self) -> argparse.ArgumentParser:
        return _parser(self.name, self.options)


def busy(command: str, noun: str) -> Report:
    """The report about a structure whose lock is held: in the middle of a change it is not corrupt."""
    report = Report(command, f"{noun} is busy: its lock is held, an operation is under way")
    report.not_checked.append(Absent(noun, "stopped inside an allocator call; `finish` it and check again"))
    return report


COMMON = (
    Option("--profile", "say with this profile what is what in the kernel (docs/profiles.md)", "FILE"),
    Option("--verbose", "print everything that is known of each finding"),
    Option("--json", "print the report as JSON"),
)


def split(text: str) -> list[str]:
    """The words of a command line; `UsageError` when a quote is not closed."""
    try:
        return shlex.split(text)
    except ValueError as error:
        raise UsageError(f"cannot split the arguments: {str(error).lower()}") from error


@cache
def _parser(name: str, options: tuple[Option, ...]) -> argparse.ArgumentParser:
    """Made once: it takes longer than a short command."""
    parser = _Parser(prog=name, add_help=False, allow_abbrev=False)
    for option in (*options, *COMMON):
        if option.value is None:
            parser.add_argument(option.name, action="store_true")
        elif option.is_flagged:
            parser.add_argument(option.name, metavar=option.value)
        else:
            parser.add_argument(option.name, nargs="*" if option.repeated else "?", metavar=option.value)
    return parser


def _usage(parser: argparse.ArgumentParser) -> str:
    """The usage in one line, however long."""
    return " ".join(parser.format_usage().removeprefix("usage: ").split())


class _Parser(argparse.ArgumentParser):
    """argparse that raises instead of leaving the debugger."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{self.prog}: {message} (usage: {_usage(self)})")
