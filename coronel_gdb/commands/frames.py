"""`frames`: the list of free frames, node by node, against docs/spec.md §4 and the kernel's own count."""

import argparse

from coronel_gdb.checks.frames import frame_findings
from coronel_gdb.commands.command import Command, Context, busy
from coronel_gdb.lift.frames import lift_frames, managed_frames
from coronel_gdb.report import Absent, Report, Table
from model.types import PAGE_BYTES


def run(context: Context, _: argparse.Namespace) -> Report:
    """Lift the list, judge it, and count."""
    profile = context.profile.frames
    lifted = lift_frames(context.target, context.space, profile)
    manager = lifted.manager
    if manager.locked:
        return busy("frames", "frame manager")
    verdict = lifted.verdict()
    findings = frame_findings(verdict)
    managed, free = managed_frames(manager), lifted.count
    summary = (
        f"{len(findings)} finding{'s' * (len(findings) != 1)} in a list of {free:,} free frames"
        if findings
        else f"free list is sound: {free:,} frames, as the kernel counts them"
    )
    report = Report("frames", summary, findings=findings, checked=verdict.evaluated)
    report.facts += [
        ("free", f"{free:,} frames in the list ({_size(free)}), free_count_ says {manager.free_count:,}"),
        ("in use", f"{managed - free:,} of {managed:,} managed frames"),
        (
            "next",
            f"{lifted.first:#x} is handed out next" if lifted.count else "none: the list is empty",
        ),
        ("nodes", f"{manager.node_count:,} at {manager.nodes:#x}, RAM ends at {manager.physical_end:#x}"),
    ]
    rows = [
        (start, end, (end - start) // PAGE_BYTES, lifted.free_between(start, end))
        for start, end in sorted(manager.ranges)
    ]
    report.tables.append(
        Table("managed ranges", ("start", "end", "frames", "free"), rows, frozenset({"start", "end"}))
    )
    report.not_checked += [Absent(invariant.formula, why) for invariant, why in verdict.unchecked]
    report.not_checked += [
        Absent(f"nodes {run.start:#x}..{run.end:#x}", run.reason) for run in lifted.image.unreadable
    ]
    return report


def _size(frames: int) -> str:
    kib = frames * PAGE_BYTES >> 10
    return f"{kib / 1024:,.1f} MiB" if kib >= 1024 else f"{kib} KiB"


COMMAND = Command(
    "frames",
    "Check the list of free physical frames, node by node.",
    "Follows free_list_ to its end (bounded, cycles are found) and checks every node's place, address\n"
    "and range, the count, and that no other node claims to be free. Exit code (in $coronel_exit):\n"
    "0 sound, 1 findings, 2 could not check.",
    "frames --json",
    (),
    run,
)
