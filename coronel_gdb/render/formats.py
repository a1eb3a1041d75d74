"""The formats that a report can be shown in, by name."""

from collections.abc import Callable
from dataclasses import dataclass

from coronel_gdb.render import as_json, as_table
from coronel_gdb.render.dialect import Dialect
from coronel_gdb.report import Report


@dataclass(frozen=True, slots=True)
class Look:
    """How a report is wanted: whose commands it shows, whether with all that is known, and how wide.

    `width` is that of the terminal in columns, 0 where there is none.
    """

    dialect: Dialect = Dialect.GDB
    verbose: bool = False
    width: int = 0


@dataclass(frozen=True, slots=True)
class Renderer:
    """A format: its name for `--format`, and what makes text of a report, without a newline at its end."""

    name: str
    render: Callable[[Report, Look], str]


def _table(report: Report, look: Look) -> str:
    return as_table.render(report, look.dialect, verbose=look.verbose, width=look.width)


def _json(report: Report, _: Look) -> str:
    return as_json.render(report)


def _html(report: Report, _: Look) -> str:
    from coronel_gdb.render import as_html  # here: only pages pay for it

    return as_html.render(report)


TABLE = Renderer("table", _table)
JSON = Renderer("json", _json)
HTML = Renderer("html", _html)
BUILT_IN = (TABLE, JSON, HTML)
