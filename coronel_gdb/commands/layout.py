"""`layout`: the kernel's address space and structures against docs/spec.md §2 and §10."""

import argparse
from dataclasses import replace

from coronel_gdb.checks.layout import layout_findings, stack_findings, structure_findings
from coronel_gdb.commands.command import Command, Context
from coronel_gdb.commands.many import few
from coronel_gdb.commands.survey import Survey
from coronel_gdb.errors import CoronelError, KernelError, TargetError
from coronel_gdb.lift.pointer import image_u64
from coronel_gdb.profiles.schema import ResolvedProfile
from coronel_gdb.report import Absent, Report, Table
from model import layouts
from model.invariants import layout as rules
from model.invariants.layout import Area, check_kernel_pages, check_space, check_symbols, kernel_areas
from model.types import PAGE_BYTES, align_up

_SYMBOLS = ("text_start", "text_end", "rodata_start", "rodata_end", "data_start", "bss_end", "end")


def run(context: Context, _: argparse.Namespace) -> Report:
    """Judge symbols, pages and structures, and list the areas."""
    return layout_report(Survey.of(context))


def layout_report(survey: Survey) -> Report:
    """All of it; what cannot be judged is a row of its own."""
    context = survey.context
    if not context.profile.specified:
        raise KernelError(
            f"profile {context.profile.name} is of a kernel with another layout than docs/spec.md"
        )
    report = Report("layout", "")
    symbols, placement_end = _symbols(context), _placement_end(context)
    areas = kernel_areas(symbols, placement_end)
    allowed = [area for area in areas if area.rights]
    violations = check_symbols(symbols) + check_kernel_pages(survey.spaces.kernel, areas)
    try:
        manager = survey.regions.manager
        found = check_space(manager.start, manager.end, placement_end)
        violations += [replace(violation, subject=manager.address) for violation in found]
    except CoronelError as error:
        report.not_checked.append(Absent(rules.SPACE.formula, str(error)))
    report.findings += layout_findings(violations)
    report.checked = len(rules.ALL) * len(allowed)
    try:
        report.findings += stack_findings(context.target.register("cr2"))
        report.checked += 1
    except TargetError as error:  # a raw image of memory has no CPU
        report.not_checked.append(Absent("the stack's guard, by the last page fault", str(error)))
    _structures(context.profile, report)
    damaged = survey.spaces.kernel.bad
    absent = (
        Absent(
            f"kernel pages from {bad.virtual:#x}",
            f"{bad.level.name} table {bad.table:#x}: {bad.reason.value}",
        )
        for bad in damaged
    )
    report.not_checked += few(absent, len(damaged), "kernel pages")
    rows = [(a.name, a.start, a.end, a.rights, _mapped(survey, a)) for a in allowed]
    columns = ("area", "start", "end", "rights", "pages mapped")
    report.tables.append(Table("areas", columns, rows, frozenset({"start", "end"})))
    count = len(report.findings)
    report.summary = (
        f"{count} finding{'s' * (count != 1)} about the kernel's layout"
        if count
        else f"the kernel is laid out as specified: {report.checked} rules hold"
    )
    return report


def areas_of(context: Context) -> list[Area]:
    """The table of docs/spec.md §2 for this kernel; `KernelError` where it lacks a symbol."""
    return kernel_areas(_symbols(context), _placement_end(context))


def _symbols(context: Context) -> dict[str, int]:
    found: dict[str, int] = {}
    for role in _SYMBOLS:
        name = context.profile.image.get(role)
        address = context.target.symbol(name) if name else None
        if address is None:
            raise KernelError(f"layout: the kernel has no symbol {name or role}")
        found[role] = address
    return found


def _placement_end(context: Context) -> int:
    name = context.profile.image.get("placement")
    variable = context.target.symbol(name) if name else None
    if variable is None:
        raise KernelError(f"layout: the kernel has no symbol {name or 'for the placement area'}")
    return align_up(image_u64(context.space, variable), PAGE_BYTES)


def _structures(profile: ResolvedProfile, report: Report) -> None:
    """The specification's structures against the kernel's DWARF; without it nothing is said to be equal."""
    if profile.structures is None:
        report.not_checked.append(Absent("structures against the kernel's types", profile.source))
        return
    report.findings += structure_findings(layouts.ALL, profile.structures)
    report.checked += len(layouts.ALL)


def _mapped(survey: Survey, area: Area) -> int:
    pages = 0
    for run in survey.spaces.kernel.runs:
        pages += max(0, min(area.end, run.virtual + run.size_bytes) - max(area.start, run.virtual))
    return pages // PAGE_BYTES


COMMAND = Command(
    "layout",
    "Check address space and structures by the specification.",
    "Section symbols, the rights and place of every page of the kernel half (W^X, stack guard, low memory,\n"
    "windows, devices), the space of the virtual manager, and every structure's offsets against the\n"
    "kernel's DWARF. Exit code (in $coronel_exit): 0 as specified, 1 findings, 2 could not check.",
    "coronel layout --json",
    (),
    run,
)
