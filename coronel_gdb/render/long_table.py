"""A table of very many rows as text: what tabulate prints, in a fraction of a microsecond for each row.

Rows are drawn in blocks: what is the same in all rows of a block is written once and repeated.
"""

from collections.abc import Sequence
from itertools import starmap

from coronel_gdb.report import Columns, Table, alike

_BLOCK = 512  # rows

_Texts = list[list[str]]
"""Of each column the text of every row of a block, or a single one where all are the same."""


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
        widths = [max(width, *map(len, column)) for width, column in zip(widths, texts, strict=True)]
        blocks.append((part, widths, _lines(texts, widths, right, part.stop - start)))
    above = ([[head] for head in heads], [["-" * width] for width in widths])
    return [_lines(texts, widths, right, 1) for texts in above] + [
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
    return list(starmap(_column, ((cells[part], hexadecimal) for cells, hexadecimal in columns)))


def _column(cells: Sequence[object], hexadecimal: bool) -> list[str]:
    if alike(cells):
        return [cell_text(cells[0], hexadecimal)]
    if hexadecimal:
        try:
            return list(map(hex, cells))  # type: ignore[arg-type]
        except TypeError:  # not every cell is an address
            pass
    return [cell_text(cell, hexadecimal) for cell in cells]


def _lines(texts: _Texts, widths: Sequence[int], right: Sequence[bool], count: int) -> str:
    """So many rows, the columns two blanks apart and at the right or left of their widths."""
    between, differing = [""], []
    for column, width, numeric in zip(texts, widths, right, strict=True):
        padded = _padded(column, width, numeric=numeric)
        between[-1] += "  "
        if len(padded) == 1:
            between[-1] += padded[0]
        else:
            differing.append(padded)
            between.append("")
    if not differing:
        return "\n".join([between[0].rstrip()] * count)
    first, *others = between
    # Text after text of all rows; those of a column are put into their places at once.
    row = [part for text in others for part in ("", text)]
    row[-1] = f"{row[-1].rstrip()}\n{first}"
    pieces = row * count
    for number, column in enumerate(differing):
        pieces[2 * number :: len(row)] = column
    text = first + "".join(pieces).removesuffix(f"\n{first}")
    whole = row[-1] != f"\n{first}"  # no cell with nothing behind it
    return text if whole else "\n".join(map(str.rstrip, text.split("\n")))


def _padded(texts: list[str], width: int, *, numeric: bool) -> list[str]:
    if min(map(len, texts)) == width:
        return texts
    return [text.rjust(width) for text in texts] if numeric else [text.ljust(width) for text in texts]
