"""What fits a terminal's width: prose goes on below its beginning, a row of bytes leaves out its text."""

import re
from collections.abc import Sequence
from textwrap import wrap

_LEAST = 24  # columns that prose needs
_BYTES = re.compile(r"(0x)?[0-9a-f]+  [0-9a-f]{2} |must be  ")


def fitted(line: str, width: int, indent: int) -> list[str]:
    """The line, its further parts indented; whole where there is no limit. Bytes lose their characters."""
    if not width or len(line) <= width or width - indent < _LEAST:
        return [line]
    if _BYTES.match(line.strip()):
        return [line.partition("  |")[0]]
    return wrap(line, width, subsequent_indent=" " * indent, break_long_words=False, break_on_hyphens=False)


def narrowed(widths: Sequence[int], prose: Sequence[int], width: int) -> list[int] | None:
    """Widths of columns two blanks apart that fit, those of prose made less; None when they cannot be."""
    found = list(widths)
    excess = sum(found) + 2 * len(found) - width
    for index in sorted(prose, key=lambda index: -found[index]):
        cut = max(0, min(excess, found[index] - _LEAST))
        found[index] -= cut
        excess -= cut
    return found if excess <= 0 else None


def in_lines(cell: str, width: int) -> str:
    """The cell in lines of at most that width; what has no blanks stays whole."""
    return "\n".join(wrap(cell, width, break_long_words=False, break_on_hyphens=False)) or cell
