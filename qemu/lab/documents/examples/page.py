"""docs/examples.md: every example made, and what the tool says of it."""

from collections.abc import Iterator

from coronel_gdb.checks import catalogue
from coronel_gdb.checks.catalogue import Code
from coronel_gdb.errors import CoronelError
from coronel_gdb.plugins import commands
from coronel_gdb.render import as_table
from coronel_gdb.report import Finding, Report
from lab.documents.document import DOCS
from lab.documents.examples.kept import Kept, kept
from lab.documents.examples.specimens import EXAMPLES, KERNELS, REASONS, Example
from lab.documents.sections import by_family
from lab.errors import LabError

EXAMPLES_PAGE = DOCS / "examples.md"
CODES = {value.code: value for value in vars(catalogue).values() if isinstance(value, Code)}
_COMMANDS = {command.name: command for command in commands()}
_HEAD = """\
# Examples

One real report for each code of [Findings](findings.md): what is booted, the damage made in a dump of the
stopped kernel, the command, and the finding as it prints it. Where no damage is named, the bug is the
kernel's own. `make capture` makes all of it anew. These kernels are sound, and damaged again and again:

"""


def examples_page() -> str:
    """The page; `LabError` when an example does not show its code."""
    found = dict(_findings())
    parts = [_HEAD, *(f"- {name}: ``{where.append}``, {where.memory}\n" for where, name in KERNELS.items())]
    for heading, codes in by_family(found):
        parts.append(f"\n## {heading}\n")
        parts += [_section(code, *found[code]) for code in codes]
    parts.append("\n## Without an example\n\n")
    parts += [f"- {code}, {CODES[code].title}: {why}\n" for code, why in sorted(REASONS.items())]
    return "".join(parts)


def _section(code: str, typed: str, finding: Finding) -> str:
    shown = as_table.render(Report("", "", findings=[finding])).partition("\n\n")[2]
    block = shown.partition("\n\n(--verbose")[0]
    return f"\n### {code}\n\n{_said(EXAMPLES[code], typed)}\n\n```text\n{block}\n```\n"


def _said(example: Example, typed: str) -> str:
    where = KERNELS.get(example.where) or f"``{example.where}``"
    damage = f"; damage: {example.damage_text}" if example.damage_text else ""
    return f"Kernel: {where}{damage}; command: ``{typed}``."


def _findings() -> Iterator[tuple[str, tuple[str, Finding]]]:
    """Code → what is typed, and the finding; each kernel is booted once."""
    for where in dict.fromkeys(example.where for example in EXAMPLES.values()):
        with kept(where) as stopped:
            for code, example in EXAMPLES.items():
                if example.where == where:
                    yield code, _finding(code, example, stopped)


def _finding(code: str, example: Example, stopped: Kept) -> tuple[str, Finding]:
    writes = example.damage(stopped) if example.damage else {}
    typed = example.command.format(**example.words(stopped))
    name, *words = typed.split()
    command = _COMMANDS[name]
    try:
        report = command.run(stopped.snapshot.damaged(writes), command.parse(words))
    except CoronelError as error:
        raise LabError(f"{code}: {example.where}: {typed}: {error}") from error
    finding = next((each for each in report.findings if each.code == code), None)
    if finding is None:
        others = ", ".join(each.code for each in report.findings) or "nothing"
        raise LabError(f"{code}: {example.where}: {typed} finds {others}")
    return f"coronel {typed}" if name == "layout" else typed, finding
