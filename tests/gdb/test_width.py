"""In a terminal of 80 columns lines end at a word, none is lost, and what can be pasted stays whole."""

import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from lab.gdbmi import Gdb
from lab.stopped import Stopped

LINES = (
    "memcheck", "heapcheck", "heapcheck --verbose", "heapcheck --map --stats", "frames --ledger", "regions",
    "processes", "pagewalk g_kernel_heap", "pagewalk g_kernel_heap --access w", "pagewalk --audit", "replay",
    "replay --verbose", "coronel whatis g_kernel_heap", "coronel status", "coronel watch-heap", "coronel",
)  # fmt: skip
HELP = ("heapcheck", "pagewalk", "frames", "snapshot", "coronel whatis", "coronel watch-heap")
PASTED = re.compile(r"^  (next|repair)? +(watch|set var|heapcheck|pagewalk)|^  target +")
"""Commands to type, and a path that nobody can shorten."""
CHARACTERS = re.compile(r"  \|.{0,16}\|$", re.M)
"""Of a row of bytes: they do not fit beside them."""


@contextmanager
def terminal(gdb: Gdb, columns: int) -> Iterator[None]:
    gdb.console(f"set width {columns}")
    try:
        yield
    finally:
        gdb.console("set width 0")


def words(text: str) -> Counter[str]:
    """All of them, in whatever order a table's cells are broken; without rules."""
    return Counter(word for word in CHARACTERS.sub("", text).split() if word.strip("-"))


@pytest.mark.parametrize("columns", [80, 120])
@pytest.mark.parametrize("line", LINES)
def test_every_line_fits_and_no_word_is_lost(corrupted: Stopped, line: str, columns: int) -> None:
    gdb = corrupted.gdb
    wide = gdb.console(line)
    with terminal(gdb, columns):
        narrow = gdb.console(line)
    assert words(narrow) == words(wide)
    assert [text for text in narrow.splitlines() if len(text) >= columns and not PASTED.match(text)] == []


@pytest.mark.parametrize("name", HELP)
def test_help_fits(healthy: Stopped, name: str) -> None:
    assert [line for line in healthy.gdb.console(f"help {name}").splitlines() if len(line) > 79] == []
