"""What users of GDB already type goes on meaning what it meant. Import inside GDB only.

GDB takes every unique abbreviation of a command. A new command ends some of them (`fr` for `frame` once
there is `frames`), and one of the same name hides GDB's own, or that of another extension (`layout` is TUI).
"""

from collections.abc import Callable, Iterable

import gdb

from coronel_gdb.backends.gdb_console import printed
from coronel_gdb.backends.surface import PREFIXED_ONLY
from coronel_gdb.commands.command import Command

_SHORTEST = 2  # one letter is an alias of its own, or ambiguous already


def is_free(command: Command) -> bool:
    """Whether the command may have its short name: nobody else has it, or ours was loaded before."""
    if command.name in PREFIXED_ONLY:
        return False
    return command.name not in _completions(command.name) or _help(command.name) == command.summary


def keeping_habits(names: Iterable[str], register: Callable[[], None]) -> None:
    """Register commands of these names; abbreviations that were unique before become aliases."""
    names = set(names)
    shorts = {name[:length] for name in names for length in range(_SHORTEST, len(name))} - names
    before = {short: _completions(short) for short in shorts}
    register()
    for short, meant in before.items():
        theirs = len(meant) == 1 and meant != [short] and not names.intersection(meant)
        if theirs and _completions(short) != meant:
            gdb.execute(f"alias -a {short} = {meant[0]}")


def _completions(text: str) -> list[str]:
    return printed(f"complete {text}").split()


def _help(name: str) -> str:
    return printed(f"help {name}").partition("\n")[0]
