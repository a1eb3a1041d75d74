"""docs/findings.md on the site: rows as sections, with what the scenarios say and the example of each."""

import re
from collections.abc import Iterable, Iterator

from lab.documents.examples.specimens import EXAMPLES
from lab.scenarios import scenarios

_ROW = re.compile(r"^\| ([A-Z]+\d{3}) \| (.+?) \| (.+?) \| (.+?) \| (.+?) \|\n", re.M)
_HEAD = re.compile(r"^\| code \|.*\n\| ---.*\n", re.M)
_FAMILIES = {
    "HEAP": "Heaps",
    "FRAME": "Physical frames",
    "REGION": "Virtual regions",
    "PAGE": "Pages and page tables",
    "LAYOUT": "The kernel's address space",
    "SPACE": "Between address spaces",
    "PROC": "Processes",
    "TRACE": "The trace",
    "LOCK": "Locks",
}


def findings_as_sections(text: str) -> str:
    """The document with each row of its table as a section, by family and number."""
    rows = {row[1]: row.groups() for row in _ROW.finditer(text)}
    text = _HEAD.sub("", _ROW.sub("", text)).rstrip() + "\n"
    for heading, codes in by_family(rows):
        text += f"\n## {heading}\n"
        for code in codes:
            text += _section(*rows[code])
    return text


def by_family(codes: Iterable[str]) -> Iterator[tuple[str, list[str]]]:
    """The codes in order of their numbers, under the heading of what they are about."""
    families: dict[str, list[str]] = {}
    for code in sorted(codes):
        families.setdefault(re.sub(r"\d", "", code), []).append(code)
    for family in sorted(families, key=lambda name: [*_FAMILIES, name].index(name)):
        yield _FAMILIES.get(family, family.capitalize()), families[family]


def _section(code: str, title: str, meaning: str, cause: str, specimen: str) -> str:
    told = sorted({
        command for each in scenarios().values() for command, codes in each.findings.items() if code in codes
    })  # fmt: skip
    lines = [f"\n({code.lower()})=\n### {code}: {title}\n\n{meaning}\n"]
    lines.append(f"\n- **Usual cause**: {cause}.\n- **To see one**: {specimen}.\n")
    if told:
        lines.append(f"- **Told there by**: {', '.join(f'`{command}`' for command in told)}.\n")
    page = f"examples.md#{code.lower()}" if code in EXAMPLES else "examples.md#without-an-example"
    lines.append(f"- **Example**: [{'a real report' if code in EXAMPLES else 'none, and why'}]({page}).\n")
    return "".join(lines)
