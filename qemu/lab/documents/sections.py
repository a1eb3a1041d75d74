"""docs/findings.md on the site: a table of 70 rows as sections, each with what the scenarios say of it."""

import re

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
    families: dict[str, list[str]] = {}
    for code in sorted(rows):
        families.setdefault(re.sub(r"\d", "", code), []).append(code)
    for family in sorted(families, key=lambda name: [*_FAMILIES, name].index(name)):
        text += f"\n## {_FAMILIES.get(family, family.capitalize())}\n"
        for code in families[family]:
            text += _section(*rows[code])
    return text


def _section(code: str, title: str, meaning: str, cause: str, specimen: str) -> str:
    told = sorted({
        command for each in scenarios().values() for command, codes in each.findings.items() if code in codes
    })  # fmt: skip
    lines = [f"\n({code.lower()})=\n### {code}: {title}\n\n{meaning}\n"]
    lines.append(f"\n- **Usual cause**: {cause}.\n- **To see one**: {specimen}.\n")
    if told:
        lines.append(f"- **Told there by**: {', '.join(f'`{command}`' for command in told)}.\n")
    return "".join(lines)
