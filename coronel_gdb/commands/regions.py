"""`regions`: the free regions of the kernel's virtual manager against docs/spec.md §6."""

import argparse

from coronel_gdb.checks.regions import region_findings
from coronel_gdb.commands.command import Command, Context, busy
from coronel_gdb.lift.regions import lift_regions
from coronel_gdb.report import Report, Table
from model.invariants.regions import ALL, check_regions


def run(context: Context, _: argparse.Namespace) -> Report:
    """Lift the list, judge it, list it."""
    profile = context.profile.regions
    lifted = lift_regions(context.target, context.space, profile)
    manager, regions = lifted.manager, lifted.regions
    if manager.locked:
        return busy("regions", "virtual manager")
    findings = region_findings(check_regions(manager, regions, stop=lifted.stop))
    free = sum(region.size_bytes for region in regions)
    summary = (
        f"{len(findings)} finding{'s' * (len(findings) != 1)} in {len(regions)} free regions"
        if findings
        else f"free regions are sound: {len(regions)}, {free >> 10:,} KiB in all"
    )
    report = Report("regions", summary, findings=findings, checked=len(ALL) * len(regions))
    report.facts += [
        ("space", f"{manager.start:#x}..{manager.end:#x}"),
        ("in use", f"{(manager.end - manager.start - free) >> 10:,} KiB"),
        ("nodes", f"{manager.count:,} in the list, {manager.spare_count:,} spare"),
    ]
    rows = [(r.start, r.start + r.size_bytes, r.size_bytes, r.node) for r in regions]
    columns = ("start", "end", "size", "node")
    report.tables.append(Table("free regions", columns, rows, frozenset(columns)))
    return report


COMMAND = Command(
    "regions",
    "Check the free regions of the kernel's virtual manager.",
    "Follows free_mem_list_ (bounded, cycles are found) and checks order, overlap, bounds, back links and\n"
    "the count. Exit code (in $coronel_exit): 0 sound, 1 findings, 2 could not check.",
    "regions --json",
    (),
    run,
)
