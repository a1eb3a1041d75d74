"""Findings about the kernel's address space as a whole, and about structures laid out differently."""

from collections.abc import Iterable, Mapping

from coronel_gdb.checks import catalogue
from coronel_gdb.checks.listed import listed_findings
from coronel_gdb.report import Finding
from model.address_space import STACK_GUARD, STACK_START
from model.invariants import layout as rules
from model.invariants.base import Violation
from model.layouts import Layout, Member

_CODES = {
    rules.SYMBOLS: catalogue.LAYOUT_SYMBOL,
    rules.RIGHTS: catalogue.LAYOUT_RIGHTS,
    rules.PLACE: catalogue.LAYOUT_PLACE,
    rules.MISSING: catalogue.LAYOUT_MISSING,
    rules.LINEAR: catalogue.LAYOUT_LINEAR,
    rules.SPACE: catalogue.LAYOUT_SPACE,
}


def layout_findings(violations: Iterable[Violation]) -> list[Finding]:
    """One finding an invariant."""
    return listed_findings(violations, _CODES)


def structure_findings(declared: Iterable[Layout], found: Mapping[str, Layout]) -> list[Finding]:
    """One finding a structure of the specification that the kernel lays out differently or lacks."""
    findings = []
    for layout in declared:
        other = found.get(layout.name)
        lines = ["the kernel has no such structure"] if other is None else _differences(layout, other)
        if lines:
            code = catalogue.LAYOUT_STRUCTURE
            text = (f"{layout.name}:", *(f"  {line}" for line in lines))
            data = {"invariant": "layout.structure", "structure": layout.name, "differences": lines}
            findings.append(Finding(code.code, code.title, 0, text, data, (f"ptype /o {layout.name}",)))
    return findings


def _differences(declared: Layout, found: Layout) -> list[str]:
    """Every number in which the two differ, the specification's first."""
    lines = []
    if declared.size_bytes != found.size_bytes:
        lines.append(f"size: specified {declared.size_bytes} bytes, DWARF says {found.size_bytes}")
    by_name = {member.name: member for member in found.members}
    for member in declared.members:
        other = by_name.pop(member.name, None)
        if other is None:
            lines.append(f"{member.name}: specified {_at(member)}, not in the DWARF")
        elif other != member:
            lines.append(f"{member.name}: specified {_at(member)}, DWARF says {_at(other)}")
    return lines + [f"{name}: not specified, DWARF says {_at(other)}" for name, other in by_name.items()]


def _at(member: Member) -> str:
    many = f" × {member.count}" if member.count > 1 else ""
    return f"+{member.offset_bytes}, {member.size_bytes} bytes{many}"


def stack_findings(cr2: int) -> list[Finding]:
    """Whether the last page fault was in the guard page below the kernel stack."""
    if not STACK_GUARD <= cr2 < STACK_START:
        return []
    code = catalogue.LAYOUT_STACK
    lines = (
        f"cr2 is {cr2:#x}: {STACK_START - cr2} bytes below the stack's end, in the guard {STACK_GUARD:#x}",
        "rule     nothing touches the page below the kernel stack (docs/spec.md §2)",
    )
    data = {"invariant": "layout.stack_guard", "cr2": cr2, "guard": STACK_GUARD}
    return [Finding(code.code, code.title, STACK_GUARD, lines, data, ("backtrace",))]
