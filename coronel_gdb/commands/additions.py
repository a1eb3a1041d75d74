"""What plugins add to every command: checks for `memcheck`, and profiles of kernels."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from coronel_gdb.checks.catalogue import Code
from coronel_gdb.profiles.schema import Profile
from coronel_gdb.report import Report

if TYPE_CHECKING:
    from coronel_gdb.commands.survey import Survey


@dataclass(frozen=True, slots=True)
class Check:
    """A row of `memcheck`: `run` looks at the target through a survey; its findings have one of `codes`.

    `section` is that of the profile which it is about: a kernel that is known to lack it is not asked.
    """

    name: str
    codes: tuple[Code, ...]
    run: "Callable[[Survey], Report]"
    section: str = ""


@dataclass(frozen=True, slots=True)
class Additions:
    """All that plugins add; `plugins` are (name, what it brings) for `coronel status`."""

    checks: tuple[Check, ...] = ()
    profiles: tuple[Profile, ...] = ()
    plugins: tuple[tuple[str, str], ...] = ()


NOTHING_ADDED = Additions()
