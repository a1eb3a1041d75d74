"""Rows of what could not be checked, where damage makes thousands of them."""

from collections.abc import Iterable
from itertools import islice

from coronel_gdb.report import Absent

_MOST_ROWS = 100


def few(absent: Iterable[Absent], total: int, what: str) -> list[Absent]:
    """The first of so many rows, and how many more there are: nobody reads them all."""
    shown = list(islice(absent, _MOST_ROWS))
    if total > _MOST_ROWS:
        shown.append(Absent(f"more {what}", f"{total - _MOST_ROWS:,} are not listed"))
    return shown
