"""The commands there are; each is a module that declares one COMMAND."""

from collections.abc import Iterable, Iterator
from importlib import import_module

from coronel_gdb.commands.command import Command

BUILT_IN = (
    "memcheck",
    "heapcheck",
    "pagewalk",
    "frames",
    "regions",
    "processes",
    "layout",
    "replay",
    "whatis",
    "snapshot",
    "save",
    "status",
)

COMMAND_LINE_ONLY = ("report",)
"""They write files for people who have no debugger at hand."""

RESERVED = (
    *COMMAND_LINE_ONLY,
    "triage",
    "profile",
    "gdbinit",
    "lldbinit",
    "completion",
    "help",
    "watch-heap",
)
"""Words that one of the surfaces knows besides: no plugin's command has such a name."""


def commands(names: Iterable[str] = BUILT_IN) -> Iterator[Command]:
    """All commands, in the order in which `coronel` lists them, or those."""
    for name in names:
        command: Command = import_module(f"coronel_gdb.commands.{name}").COMMAND
        yield command


def command_line_only() -> Iterator[Command]:
    """The commands that `coronel` has without a debugger, besides."""
    for name in COMMAND_LINE_ONLY:
        command: Command = import_module(f"coronel_gdb.commands.{name}").COMMAND
        yield command
