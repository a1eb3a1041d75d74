"""The plugins that are installed for this Python: distributions with entry points in our group.

`importlib.metadata` takes tens of milliseconds to say that there are none, in a debugger at every start. So
what is installed is looked through for the group's name first, and the library asked about what has it.
"""

import os
import sys
from collections.abc import Callable, Iterator
from itertools import chain
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

GROUP = "coronel_gdb.plugins"

Note = Callable[[tuple[str, str]], None]
"""Is told (what, why) of every failure."""


def entry_points(note: Note) -> "list[EntryPoint]":
    """Those of the group in order of their names; of two distributions of one name the first on the path."""
    found: dict[str, list[EntryPoint]] = {}
    for place in _mentioned():
        from importlib.metadata import Distribution

        try:
            distribution = Distribution.at(place)
            entries = distribution.entry_points.select(group=GROUP)
            found.setdefault(distribution.name or place, list(entries))
        except Exception as error:  # whatever is wrong with its files: the others are there all the same
            note((f"plugins in {place}", f"not used: {type(error).__name__}: {error}"))
    return sorted(chain.from_iterable(found.values()), key=lambda entry: (entry.name, entry.value))


def _mentioned() -> Iterator[str]:
    """What is installed and has the group's name in its entry points."""
    for folder in sys.path:
        try:
            with os.scandir(folder or ".") as entries:
                kept = [entry.path for entry in entries if entry.name.endswith((".dist-info", ".egg-info"))]
        except OSError:  # not there, or an archive
            continue
        for one in sorted(kept):
            if GROUP.encode() in _content(os.path.join(one, "entry_points.txt")):  # noqa: PTH118
                yield one


def _content(path: str) -> bytes:
    try:
        with open(path, "rb") as file:  # noqa: PTH123 - hundreds of them: `Path` would take most of the time
            return file.read()
    except OSError:
        return b""
