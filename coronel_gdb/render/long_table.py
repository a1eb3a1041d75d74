"""A table of very many rows as text: what tabulate prints, in a fraction of a microsecond for each row.

Rows are drawn in blocks: what is the same in all rows of a block is written once and repeated, and where only
addresses differ, their digits are put into the repeated row place by place.
"""

import struct
import sys
from array import array
from binascii import hexlify
from collections.abc import Sequence
from dataclasses import dataclass

from coronel_gdb.report import Columns, Table, alike

_BLOCK = 512  # rows
_DIGITS = 16  # of 64 bits


@dataclass(frozen=True, slots=True)
class _Addresses:
    """Addresses of equal length: the first one's text, and the digits at the places where others differ."""

    cells: Sequence[object]
    text: str
    differing: list[tuple[int, bytes]]


_Column = list[str] | _Addresses
_Texts = list[tuple[_Column, set[int]]]
"""Of each column the text of every row of a block, or a single one where all are the same; their lengths."""


def drawn(table: Table) -> list[str]:
    """Head, rule and rows, each indented by two blanks: parts of many lines, to be joined by newlines."""
    rows, heads = table.rows, table.columns
    columns = rows.cells if isinstance(rows, Columns) else tuple(zip(*rows, strict=True))
    right = [isinstance(cells[0], int) for cells in columns]
    kinds = list(zip(columns, [head in table.hexadecimal for head in heads], strict=True))
    widths = [len(head) + 2 for head in heads]
    # The texts of all cells would take longer to keep than to make: a block is drawn in the widths found so
    # far, and once more where they turn out to be too small.
    blocks = []
    for start in range(0, len(rows), _BLOCK):
        part = slice(start, min(start + _BLOCK, len(rows)))
        texts = _texts(kinds, part)
        widths = [max(width, *lengths) for width, (_, lengths) in zip(widths, texts, strict=True)]
        blocks.append((part, widths, _lines(texts, widths, right, part.stop - start)))
    above = (heads, ["-" * width for width in widths])
    return [_lines([([text], {len(text)}) for text in row], widths, right, 1) for row in above] + [
        text if fit == widths else _lines(_texts(kinds, part), widths, right, part.stop - part.start)
        for part, fit, text in blocks
    ]


def cell_text(cell: object, hexadecimal: bool) -> str:
    """One cell: integers as addresses or with commas, anything else as it is."""
    if isinstance(cell, int):
        return f"{cell:#x}" if hexadecimal else f"{cell:,}"
    return str(cell)


def _texts(columns: Sequence[tuple[Sequence[object], bool]], part: slice) -> _Texts:
    """Texts of some rows; `columns` are the cells of each and whether they are addresses."""
    found = [_column(cells[part], hexadecimal) for cells, hexadecimal in columns]
    return [
        (column, {len(column.text)} if isinstance(column, _Addresses) else set(map(len, column)))
        for column in found
    ]


def _column(cells: Sequence[object], hexadecimal: bool) -> _Column:
    if alike(cells):
        return [cell_text(cells[0], hexadecimal)]
    if hexadecimal:
        try:
            return _addresses(cells) or list(map(hex, cells))  # type: ignore[arg-type]
        except (TypeError, struct.error):  # not every cell is an address
            pass
    return [cell_text(cell, hexadecimal) for cell in cells]


def _addresses(cells: Sequence[object]) -> _Addresses | None:
    """None where some are longer than others."""
    words = struct.pack(f">{len(cells)}Q", *cells) if not isinstance(cells, array) else _big_endian(cells)
    differing = []
    for number in range(8):
        column = words[number::8]
        if column.count(column[0]) < len(column):
            digits = hexlify(column)
            differing += [(2 * number, digits[::2]), (2 * number + 1, digits[1::2])]
    text = hex(cells[0])  # type: ignore[arg-type]
    first = _DIGITS + len("0x") - len(text)
    for place, column in differing:
        if place < first and column.count(b"0") < len(column):
            return None
        if place == first < _DIGITS - 1 and b"0" in column:
            return None
    return _Addresses(cells, text, [(place, column) for place, column in differing if place >= first])


def _big_endian(words: "array[int]") -> bytes:
    if sys.byteorder == "little":
        words = words[:]
        words.byteswap()
    return words.tobytes()


def _lines(texts: _Texts, widths: Sequence[int], right: Sequence[bool], count: int) -> str:
    """So many rows, the columns two blanks apart and at the right or left of their widths."""
    if all(isinstance(column, _Addresses) or len(column) == 1 for column, _ in texts):
        return _stamped(texts, widths, right, count)
    between, differing = [""], []
    for (column, lengths), width, numeric in zip(texts, widths, right, strict=True):
        cells = list(map(hex, column.cells)) if isinstance(column, _Addresses) else column  # type: ignore[arg-type]
        padded = cells if lengths == {width} else [_padded(text, width, numeric) for text in cells]
        between[-1] += "  "
        if len(padded) == 1:
            between[-1] += padded[0]
        else:
            differing.append(padded)
            between.append("")
    first, *others = between
    # Text after text of all rows; those of a column are put into their places at once.
    row = [part for text in others for part in ("", text)]
    row[-1] = f"{row[-1].rstrip()}\n{first}"
    pieces = row * count
    for number, column in enumerate(differing):
        pieces[2 * number :: len(row)] = column
    pieces[0] = first + pieces[0]
    pieces[-1] = pieces[-1].removesuffix(f"\n{first}")
    text = "".join(pieces)
    whole = row[-1] != f"\n{first}"  # no cell with nothing behind it
    return text if whole else "\n".join(map(str.rstrip, text.split("\n")))


def _stamped(texts: _Texts, widths: Sequence[int], right: Sequence[bool], count: int) -> str:
    """The same where only addresses differ from row to row, and so all rows are of one length."""
    row, differing = b"", []
    for (column, _), width, numeric in zip(texts, widths, right, strict=True):
        text = column.text if isinstance(column, _Addresses) else column[0]
        row += b"  " + _padded(text, width, numeric).encode()
        if isinstance(column, _Addresses):
            end = len(row) - (0 if numeric else width - len(text))
            differing += [(end - _DIGITS + place, digits) for place, digits in column.differing]
    row = row.rstrip() + b"\n"
    lines = bytearray(row) * count
    for start, digits in differing:
        lines[start :: len(row)] = digits
    del lines[-1]
    return lines.decode()


def _padded(text: str, width: int, numeric: bool) -> str:
    return text.rjust(width) if numeric else text.ljust(width)
