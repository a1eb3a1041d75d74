"""A report for a terminal: the verdict first, then facts, tables and findings."""

from collections import Counter
from collections.abc import Callable, Sequence
from itertools import zip_longest

from coronel_gdb.render import long_table
from coronel_gdb.render.dialect import Dialect, command_text, writes
from coronel_gdb.render.long_table import cell_text
from coronel_gdb.render.terminal import fitted, in_lines, narrowed
from coronel_gdb.report import Finding, Report, Table

_LONG = 1000  # rows: tabulate takes 60 µs for each


def render(report: Report, dialect: Dialect = Dialect.GDB, *, verbose: bool = False, width: int = 0) -> str:
    """The report, without a newline at its end; everything that is known of a finding when `verbose`.

    `width` is that of the terminal, 0 for none. What can be pasted is never broken.
    """
    parts = [*fitted(f"{report.command}: {report.summary}", width, 2), *_facts(report, width)]
    tables = [table for table in report.tables if table.rows]
    alike = Counter(table.columns for table in tables)
    for table in tables:
        # Columns tell tables apart; where they do not, the title does.
        parts += ["", *([f"{table.title}:"] if alike[table.columns] > 1 else []), *_table(table, width)]
    for finding in report.findings:
        parts += ["", *_finding(finding, dialect, verbose=verbose, width=width)]
    if not verbose and any(finding.details for finding in report.findings):
        parts += ["", "(--verbose: fields, rivals, history, memory and repair of each finding)"]
    parts += [""] * bool(report.not_checked)
    for absent in report.not_checked:
        parts += fitted(f"could not check {absent.what}: {absent.why}", width, 2)
    return "\n".join(parts)


def _facts(report: Report, width: int) -> list[str]:
    names = max((len(name) for name, _ in report.facts), default=0)
    lines = [f"  {name:<{names}}  {value}" for name, value in report.facts]
    return [part for line in lines for part in fitted(line, width, names + 4)]


def _finding(finding: Finding, dialect: Dialect, *, verbose: bool, width: int) -> list[str]:
    following = [command_text(command, dialect) for command in finding.next_commands]
    lines = [f"{finding.code} {finding.title} at {finding.subject:#x}"]
    for line in (*finding.lines, *(finding.details if verbose else ())):
        lines += fitted(f"  {line}", width, 11)
    if verbose:
        commands = [command for write in finding.repair for command in writes(write, dialect)]
        lines += _labelled("repair", [*commands, f"({finding.repair_note})"] if commands else [])
    return lines + _labelled("next", following)


def _labelled(label: str, lines: Sequence[str]) -> list[str]:
    return [f"  {label if index == 0 else '':<8} {line}" for index, line in enumerate(lines)]


def _table(table: Table, width: int) -> list[str]:
    if len(table.rows) > _LONG:
        return long_table.drawn(table)
    rows = [
        [
            cell_text(cell, column in table.hexadecimal)
            for column, cell in zip(table.columns, row, strict=True)
        ]
        for row in table.rows
    ]
    right = [isinstance(cell, int) for cell in table.rows[0]]
    widths = [
        max(map(len, cells)) for cells in zip((f"{head}  " for head in table.columns), *rows, strict=True)
    ]
    if not width or sum(widths) + 2 * len(widths) <= width:
        return _drawn(table.columns, rows, right)
    prose = [index for index, numeric in enumerate(right) if not numeric]
    narrow = narrowed(widths, prose, width)
    if narrow is not None:
        return _drawn(table.columns, [list(map(in_lines, row, narrow)) for row in rows], right)
    if right[-1]:
        return _drawn(table.columns, rows, right)
    # The last column, prose, goes below the others.
    narrow = narrowed(widths[:-1], prose[:-1], width) or widths[:-1]
    others = [list(map(in_lines, row, narrow)) for row in rows]
    head, rule, *drawn = _drawn(table.columns[:-1], others, right[:-1])
    lines = [head, f"      {table.columns[-1]}", rule]
    for row, cells in zip(rows, others, strict=True):
        height = 1 + max(cell.count("\n") for cell in cells)
        lines += drawn[:height] + (fitted(f"      {row[-1]}", width, 6) if row[-1] else [])
        drawn = drawn[height:]
    return lines


def _drawn(columns: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[bool]) -> list[str]:
    tabulate = _tabulate()
    if tabulate is None:
        lines = _plain(columns, rows, right)
    else:
        align = ["right" if numeric else "left" for numeric in right]
        lines = tabulate(rows, columns, "simple", disable_numparse=True, colalign=align).splitlines()
    return [f"  {line}".rstrip() for line in lines]


def _tabulate() -> Callable[..., str] | None:
    try:
        from tabulate import tabulate
    except ImportError:  # a debugger's Python may lack it; `coronel status` says so
        return None
    return tabulate


def _plain(columns: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[bool]) -> list[str]:
    """Aligned columns without any package."""
    rows = [line for row in rows for line in zip_longest(*(cell.split("\n") for cell in row), fillvalue="")]
    widths = [max(map(len, column)) for column in zip(columns, *rows, strict=True)]
    return [
        "  ".join(
            cell.rjust(width) if numeric else cell.ljust(width)
            for cell, width, numeric in zip(row, widths, right, strict=True)
        )
        for row in ([*columns], ["-" * width for width in widths], *rows)
    ]
