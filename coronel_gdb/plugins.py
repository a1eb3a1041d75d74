"""The commands there are; each is a module that declares one COMMAND."""

from collections.abc import Iterator
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


def commands() -> Iterator[Command]:
    """All commands, in the order in which `coronel` lists them."""
    for name in BUILT_IN:
        command: Command = import_module(f"coronel_gdb.commands.{name}").COMMAND
        yield command


def command_line() -> Iterator[Command]:
    """The commands of `coronel` without a debugger."""
    yield from commands()
    for name in COMMAND_LINE_ONLY:
        command: Command = import_module(f"coronel_gdb.commands.{name}").COMMAND
        yield command
