"""A report as one HTML page: no script, nothing loaded from elsewhere, readable on paper.

Whatever comes from a target may hold anything: every text goes through `html.escape`, and the page forbids
scripts and loading by its own policy as well.
"""

from collections.abc import Iterator, Sequence
from html import escape

from coronel_gdb.render import as_svg
from coronel_gdb.render.dialect import Dialect, command_text, writes
from coronel_gdb.render.page_style import STYLE
from coronel_gdb.report import ExitCode, Finding, Report, Table

_MOST_ROWS = 400
_VERDICTS = {
    ExitCode.CLEAN: ("clean", "checked and clean"),
    ExitCode.FINDINGS: ("found", "findings"),
    ExitCode.NOT_CHECKED: ("unknown", "not all could be checked"),
}
_PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width">
<title>{title}</title><style>{style}</style></head>
<body>
{body}
</body></html>
"""


def render(report: Report) -> str:
    """The whole page."""
    name, words = _VERDICTS[report.exit_code]
    parts = [
        f"<h1>{escape(report.command)}: {_one_line(report.summary)}</h1>",
        f'<p><span class="verdict {name}">{words}</span> '
        f'<span class="dim">exit code {int(report.exit_code)}</span></p>',
        *_facts(report),
        *_findings(report),
        *_absent(report),
    ]
    if report.charts:
        parts.append("<h2>Pictures</h2>")
        parts += [_figure(chart.title, chart.note, as_svg.draw(chart)) for chart in report.charts]
    if report.tables:
        parts.append("<h2>Tables</h2>")
    for table in report.tables:
        parts += _table(table)
    parts.append(
        '<footer class="dim">Codes and rules: docs/findings.md, docs/invariants.md, docs/spec.md of '
        "coronel-gdb.</footer>"
    )
    title = f"{report.command}: {report.summary}"[:200]
    return _PAGE.format(title=_one_line(title), style=STYLE, body="\n".join(parts))


def _one_line(text: object) -> str:
    """Escaped; what would not be seen, or would turn the line around, is shown as its code."""
    return escape("".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in str(text)))


def _facts(report: Report) -> Iterator[str]:
    if report.facts:
        rows = (f"<dt>{_one_line(name)}</dt><dd>{_one_line(value)}</dd>" for name, value in report.facts)
        yield f"<dl>{''.join(rows)}</dl>"


def _findings(report: Report) -> Iterator[str]:
    if report.findings:
        yield f"<h2>Findings ({len(report.findings):,})</h2>"
    for finding in report.findings:
        yield _finding(finding)


def _finding(finding: Finding) -> str:
    head = f'<span class="code">{_one_line(finding.code)}</span> {_one_line(finding.title)}'
    parts = [f'<h3>{head} at <span class="mono">{finding.subject:#x}</span></h3>', '<div class="rows">']
    for line in finding.lines:
        label, _, rest = line.partition(" ")
        labelled = len(line) > 9 and line[:9].strip() == label and label.isalpha()
        text = rest.strip() if labelled else line
        parts.append(f"<b>{_one_line(label) if labelled else ''}</b><div>{_one_line(text)}</div>")
    following = [command_text(command, Dialect.GDB) for command in finding.next_commands]
    parts += [f"<b>next</b><div><code>{_one_line(command)}</code></div>" for command in following]
    parts.append("</div>")
    repair = [command for write in finding.repair for command in writes(write, Dialect.GDB)]
    lines = [*finding.details, *(f"repair   {command}" for command in repair)]
    lines += [f"         ({finding.repair_note})"] if repair else []
    if lines:
        text = "".join(f"<div>{_one_line(line)}</div>" for line in lines)
        parts.append(
            "<details open><summary>Everything that is known</summary>"
            f'<div class="details">{text}</div></details>'
        )
    return f'<section class="finding">{"".join(parts)}</section>'


def _absent(report: Report) -> Iterator[str]:
    if report.not_checked:
        rows = (f"<li>{_one_line(row.what)}: {_one_line(row.why)}</li>" for row in report.not_checked)
        yield f'<h2>Could not be checked</h2><ul class="absent">{"".join(rows)}</ul>'


def _figure(title: str, note: str, picture: str) -> str:
    caption = f'<figcaption><b>{_one_line(title)}</b> <span class="dim">{_one_line(note)}</span></figcaption>'
    return f"<figure>{caption}{picture}</figure>"


def _table(table: Table) -> Iterator[str]:
    yield f"<h3>{_one_line(table.title)}</h3>"
    numeric = [
        bool(table.rows) and isinstance(table.rows[0][index], int) for index in range(len(table.columns))
    ]
    heads = "".join(
        f"<th{_class(right)}>{_one_line(head)}</th>"
        for head, right in zip(table.columns, numeric, strict=True)
    )
    rows = "".join(_row(table, row, numeric) for row in table.rows[:_MOST_ROWS])
    yield f"<table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>"
    if len(table.rows) > _MOST_ROWS:
        yield f'<p class="dim">the first {_MOST_ROWS:,} of {len(table.rows):,} rows</p>'


def _row(table: Table, row: Sequence[object], numeric: Sequence[bool]) -> str:
    cells = []
    for head, cell, right in zip(table.columns, row, numeric, strict=True):
        text = str(cell)
        if isinstance(cell, int):
            text = f"{cell:#x}" if head in table.hexadecimal else f"{cell:,}"
        cells.append(f"<td{_class(right)}>{_one_line(text)}</td>")
    return f"<tr>{''.join(cells)}</tr>"


def _class(right: bool) -> str:
    return ' class="n"' if right else ""
