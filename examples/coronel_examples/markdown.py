"""A format: `--format markdown`, to paste into an issue."""

from collections.abc import Iterator

from coronel_gdb.api import Look, Renderer, Report, Table, command_text

API_VERSION = 1


def render(report: Report, look: Look) -> str:
    """Verdict, facts, findings, tables, and what could not be checked."""
    return "\n".join(_lines(report, look))


def _lines(report: Report, look: Look) -> Iterator[str]:
    yield f"## {report.command}: {_cell(report.summary)}"
    if report.facts:
        yield from ("", *(f"- {_cell(name)}: {_cell(value)}" for name, value in report.facts))
    for finding in report.findings:
        yield from ("", f"### {finding.code} {_cell(finding.title)} at `{finding.subject:#x}`", "")
        yield from (f"- {_cell(line)}" for line in finding.lines)
        if look.verbose:
            yield from (f"- {_cell(line)}" for line in finding.details)
        for following in finding.next_commands:
            yield f"- next: `{command_text(following, look.dialect)}`"
    for table in report.tables:
        yield from ("", *_table(table))
    for absent in report.not_checked:
        yield from ("", f"Could not check {_cell(absent.what)}: {_cell(absent.why)}")


def _table(table: Table) -> Iterator[str]:
    yield _row(table.columns)
    yield _row(["---"] * len(table.columns))
    for row in table.rows:
        yield _row(
            [
                f"`{cell:#x}`" if column in table.hexadecimal and isinstance(cell, int) else _cell(cell)
                for column, cell in zip(table.columns, row, strict=True)
            ]
        )


def _row(cells: list[str] | tuple[str, ...]) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(value: object) -> str:
    """Text as text: what a target holds must not become markup."""
    text = " ".join(str(value).split())
    return "".join(f"\\{c}" if c in "\\`*_{}[]<>|#!~" else c for c in text)


RENDERERS = (Renderer("markdown", render),)
