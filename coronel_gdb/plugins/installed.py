"""The plugins that are installed for this Python: distributions with entry points in our group.

`importlib.metadata` takes tens of milliseconds to say that there are none, in a debugger at every start. So
what is installed is looked through for the group's name first, and asked properly only when it is there.
"""

import os
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

GROUP = "coronel_gdb.plugins"


def entry_points(path: Iterable[str] | None = None) -> "list[EntryPoint]":
    """Those of the group, in order of their names."""
    if not any(map(_mentioned, sys.path if path is None else path)):
        return []
    from importlib import metadata

    found = metadata.entry_points(group=GROUP)
    return sorted(found, key=lambda entry: (entry.name, entry.value))


def _mentioned(folder: str) -> bool:
    """Whether anything installed in that folder of `sys.path` has the group's name in its entry points."""
    try:
        with os.scandir(folder or ".") as entries:
            kept = [entry.path for entry in entries if entry.name.endswith((".dist-info", ".egg-info"))]
    except OSError:  # not there, or an archive
        return False
    return any(GROUP.encode() in _content(os.path.join(one, "entry_points.txt")) for one in kept)  # noqa: PTH118


def _content(path: str) -> bytes:
    try:
        with open(path, "rb") as file:  # noqa: PTH123 - hundreds of them: `Path` would take most of the time
            return file.read()
    except OSError:
        return b""
