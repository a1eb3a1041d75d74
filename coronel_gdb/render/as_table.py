"""A report for a terminal: the verdict first, then facts, tables and findings."""

from collections import Counter
from collections.abc import Callable, Sequence
from itertools import repeat
from typing import cast

from coronel_gdb.render.dialect import Dialect, command_text, writes
from coronel_gdb.report import Columns, Finding, Report, Table

_LONG = 1000  # rows: tabulate takes 60 µs for each


def render(report: Report, dialect: Dialect = Dialect.GDB, *, verbose: bool = False) -> str:
    """The report, without a newline at its end; everything that is known of a finding when `verbose`."""
    parts = [f"{report.command}: {report.summary}", *_facts(report)]
    tables = [table for table in report.tables if table.rows]
    alike = Counter(table.columns for table in tables)
    for table in tables:
        # Columns tell tables apart; where they do not, the title does.
        parts += ["", *([f"{table.title}:"] if alike[table.columns] > 1 else []), *_table(table)]
    for finding in report.findings:
        parts += ["", *_finding(finding, dialect, verbose=verbose)]
    if not verbose and any(finding.details for finding in report.findings):
        parts += ["", "(--verbose: fields, rivals, history, memory and repair of each finding)"]
    if report.not_checked:
        parts += ["", *(f"could not check {absent.what}: {absent.why}" for absent in report.not_checked)]
    return "\n".join(parts)


def _facts(report: Report) -> list[str]:
    width = max((len(name) for name, _ in report.facts), default=0)
    return [f"  {name:<{width}}  {value}" for name, value in report.facts]


def _finding(finding: Finding, dialect: Dialect, *, verbose: bool) -> list[str]:
    following = [command_text(command, dialect) for command in finding.next_commands]
    lines = [f"{finding.code} {finding.title} at {finding.subject:#x}"]
    lines += [f"  {line}" for line in finding.lines]
    if verbose:
        lines += [f"  {line}" for line in finding.details]
        commands = [command for write in finding.repair for command in writes(write, dialect)]
        lines += _labelled("repair", [*commands, f"({finding.repair_note})"] if commands else [])
    return lines + _labelled("next", following)


def _labelled(label: str, lines: Sequence[str]) -> list[str]:
    return [f"  {label if index == 0 else '':<8} {line}" for index, line in enumerate(lines)]


def _table(table: Table) -> list[str]:
    if len(table.rows) > _LONG:
        return [_long(table)]
    rows = [
        [_cell(cell, column in table.hexadecimal) for column, cell in zip(table.columns, row, strict=True)]
        for row in table.rows
    ]
    right = [
        bool(table.rows) and isinstance(table.rows[0][index], int) for index in range(len(table.columns))
    ]
    tabulate = _tabulate()
    if tabulate is None:
        lines = _plain(table.columns, rows, right)
    else:
        align = ["right" if numeric else "left" for numeric in right]
        text = tabulate(
            rows, table.columns, "simple", disable_numparse=True, colalign=align if rows else None
        )
        lines = text.splitlines()
    return [f"  {line}".rstrip() for line in lines]


def _long(table: Table) -> str:
    """What tabulate prints, column by column: a hundred thousand rows in a few hundredths of a second."""
    columns = table.rows.cells if isinstance(table.rows, Columns) else tuple(zip(*table.rows, strict=True))
    # Cell after cell of all rows; each column is put into its places at once.
    pieces = [""] * ((len(table.rows) + 2) * len(columns))
    for number, (head, cells) in enumerate(zip(table.columns, columns, strict=True)):
        last = number == len(columns) - 1
        pieces[number :: len(columns)] = _column(head, cells, head in table.hexadecimal, last=last)
    pieces[-1] = pieces[-1].removesuffix("\n")
    text = "".join(pieces)
    # Cells without a text at the end of a row leave blanks.
    return "\n".join(map(str.rstrip, text.splitlines())) if " \n" in text else text.rstrip(" ")


def _column(head: str, cells: Sequence[object], hexadecimal: bool, *, last: bool) -> list[str]:
    """Head, rule and cells of one column, with the gap before it, and the end of the line if `last`."""
    few = len(set(cells[:_LONG])) < _LONG // 2
    distinct = tuple(set(cells)) if few else cells
    texts = _cells(distinct, hexadecimal)
    width = max(len(head) + 2, *map(len, texts))
    end = "\n" if last else ""
    right = isinstance(cells[0], int)
    if right and not last:
        texts = list(map(str.rjust, texts, repeat(width + 2)))
    elif right:
        texts = [f"  {text:>{width}}{end}" for text in texts]
    else:
        texts = [f"  {text}{end}" if last else f"  {text:<{width}}" for text in texts]
    if few:
        texts = list(map(dict(zip(distinct, texts, strict=True)).__getitem__, cells))
    title = head.rjust(width) if right else head.ljust(0 if last else width)
    return [f"  {title}{end}", f"  {'-' * width}{end}", *texts]


def _cells(cells: Sequence[object], hexadecimal: bool) -> list[str]:
    """`_cell` of each; faster where all are of one type and none is negative."""
    if hexadecimal and set(map(type, cells)) == {int}:
        numbers = cast("Sequence[int]", cells)
        if min(numbers) >= 0:
            return list(map(hex, numbers))
    return [_cell(cell, hexadecimal) for cell in cells]


def _tabulate() -> Callable[..., str] | None:
    try:
        from tabulate import tabulate
    except ImportError:  # a debugger's Python may lack it; `coronel status` says so
        return None
    return tabulate


def _cell(cell: object, hexadecimal: bool) -> str:
    if isinstance(cell, int):
        return f"{cell:#x}" if hexadecimal else f"{cell:,}"
    return str(cell)


def _plain(columns: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[bool]) -> list[str]:
    """Aligned columns without any package."""
    widths = [max(map(len, column)) for column in zip(columns, *rows, strict=True)]
    return [
        "  ".join(
            cell.rjust(width) if numeric else cell.ljust(width)
            for cell, width, numeric in zip(row, widths, right, strict=True)
        )
        for row in ([*columns], *rows)
    ]
