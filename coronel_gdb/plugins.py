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


def commands() -> Iterator[Command]:
    """All commands, in the order in which `coronel` lists them."""
    for name in BUILT_IN:
        command: Command = import_module(f"coronel_gdb.commands.{name}").COMMAND
        yield command
