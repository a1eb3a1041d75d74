"""`regions`: free regions of kernel and processes, against docs/spec.md §6 and the page tables."""

import argparse

from coronel_gdb.checks import catalogue
from coronel_gdb.checks.refused import refused_findings
from coronel_gdb.checks.regions import mapped_findings, region_findings
from coronel_gdb.commands.command import Command, Context, busy
from coronel_gdb.commands.survey import Survey
from coronel_gdb.commands.unnamed import note_unnamed
from coronel_gdb.errors import CoronelError
from coronel_gdb.lift.activity import A_PROCESS, is_held
from coronel_gdb.lift.regions import LiftedRegions, lift_list, lift_spares
from coronel_gdb.report import Absent, Finding, Report, Table
from model.invariants import regions as rules
from model.invariants.regions import ALL, END, SPARE_COUNT, Empty, check_regions, check_spares
from model.spaces import Space


def run(context: Context, _: argparse.Namespace) -> Report:
    """Lift the lists, judge them, and list the kernel's."""
    return regions_report(Survey.of(context))


def regions_report(survey: Survey) -> Report:
    """The kernel's regions, then those of every process."""
    lifted = survey.regions
    manager, regions = lifted.manager, lifted.regions
    if is_held(manager.locked):
        return busy("regions", "virtual manager")
    section = survey.context.profile.regions.section
    empty = Empty.DELETED if section.has_quirk("zero_sized") else Empty.WRONG
    findings, absent = _judged(survey, lifted, empty)
    findings += refused_findings("virtual manager", manager.address, manager.errors, catalogue.REGION_REFUSED)
    free = sum(region.size_bytes for region in regions)
    report = Report("regions", "", findings=findings, checked=len(ALL) * len(regions), not_checked=absent)
    if not manager.unkept & {"start", "end"}:
        report.facts.append(("space", f"{manager.start:#x}..{manager.end:#x}"))
        report.facts.append(("in use", f"{(manager.end - manager.start - free) >> 10:,} KiB"))
    spare = "" if "spare_count" in manager.unkept else f", {manager.spare_count:,} spare"
    report.facts.append(
        ("nodes", f"{len(regions) if 'count' in manager.unkept else manager.count:,} in the list{spare}")
    )
    listed = [region for region in regions if region.size_bytes or empty is Empty.WRONG]
    deleted = len(regions) - len(listed)
    if deleted:
        words = f"{deleted:,} of 0 bytes stand for deleted ones; list sound"
        report.facts.append(("quirk regions", words))
    note_unnamed(report, section, manager, rules.unkept(manager))
    try:
        findings += mapped_findings(lifted, survey.spaces.kernel)
        report.checked += len(regions)
        if not manager.unkept & {"start", "end"}:
            report.facts.append(("mapped", _mapped(lifted, survey.spaces.kernel)))
        _processes(survey, report)
    except CoronelError as error:
        report.not_checked.append(Absent("regions against the page tables", str(error)))
    count = len(findings)
    report.summary = (
        f"{count} finding{'s' * (count != 1)} in {len(regions)} free regions"
        if findings
        else f"free regions are sound: {len(listed)} with {free >> 10:,} KiB in all"
    )
    rows = [(r.start, r.start + r.size_bytes, r.size_bytes, r.node) for r in listed]
    columns = ("start", "end", "size", "node")
    report.tables.append(Table("free regions", columns, rows, frozenset(columns)))
    return report


def _judged(survey: Survey, lifted: LiftedRegions, empty: Empty) -> tuple[list[Finding], list[Absent]]:
    """What is wrong with a free list and with its pool of nodes, each as far as it can be followed."""
    manager = lifted.manager
    pool = lift_spares(manager, survey.context.space, survey.context.profile.regions.node)
    violations = check_regions(manager, lifted.regions, stop=lifted.stop, empty=empty)
    violations += check_spares(manager, pool.regions, lifted.regions, stop=pool.stop)
    absent = []
    for noun, rule, followed in (("free regions", END, lifted), ("unused nodes", SPARE_COUNT, pool)):
        if followed.lost:
            violations = [found for found in violations if found.invariant is not rule]
            absent.append(Absent(f"{noun} from node {followed.stop:#x} on", followed.lost))
    return region_findings(violations), absent


def _processes(survey: Survey, report: Report) -> None:
    """The mmap regions of every process; its pages against them are the business of `processes`."""
    processes = survey.listed.processes
    if processes and not survey.stands_still(report, "mmap regions of processes", A_PROCESS):
        processes = []
    for process in processes:
        manager = process.memory.mmap
        if is_held(manager.locked):
            report.not_checked.append(Absent(f"mmap of process {process.pid}", "its lock is held"))
            continue
        lifted = lift_list(manager, survey.context.space, survey.context.profile.regions.node)
        findings, absent = _judged(survey, lifted, Empty.WRONG)
        report.findings += findings
        report.not_checked += absent
        report.checked += len(ALL) * len(lifted.regions)
        taken = manager.end - manager.start - sum(region.size_bytes for region in lifted.regions)
        report.facts.append(
            (f"process {process.pid}", f"{len(lifted.regions)} free mmap regions, {taken >> 10:,} KiB taken")
        )
    report.not_checked += survey.absent


def _mapped(lifted: LiftedRegions, kernel: Space) -> str:
    """How much of what was handed out has pages; the rest is reserved, which is no fault."""
    manager = lifted.manager
    pages = sum(
        max(0, min(manager.end, run.virtual + run.size_bytes) - max(manager.start, run.virtual))
        for run in kernel.runs
    )
    taken = manager.end - manager.start - sum(region.size_bytes for region in lifted.regions)
    rest = max(0, taken - pages)
    return f"{pages >> 10:,} KiB" + (f", {rest >> 10:,} KiB are handed out without pages" if rest else "")


COMMAND = Command(
    "regions",
    "Check the free regions of the kernel and of processes.",
    "Follows free_mem_list_ (bounded, cycles are found) and checks order, overlap, bounds, back links, the\n"
    "count, and that no free region is mapped. Exit code (in $coronel_exit): 0 sound, 1 findings, 2 could\n"
    "not check.",
    "regions --json",
    (),
    run,
)
