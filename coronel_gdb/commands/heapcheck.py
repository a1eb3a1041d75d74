"""`heapcheck`: every block of the kernel heap against the invariants of docs/spec.md §7."""

import argparse
from itertools import zip_longest

from coronel_gdb.checks.heap import heap_findings
from coronel_gdb.commands.command import Command, Context, busy
from coronel_gdb.lift.heap import Discovery, LiftedHeap, lift_heap, read_heap
from coronel_gdb.lift.space import Run
from coronel_gdb.report import Absent, Report


def run(context: Context, _: argparse.Namespace) -> Report:
    """Lift the heap, judge it, and say what was looked at."""
    profile = context.profile.heap
    heap = read_heap(context.target, context.space, profile)
    if heap.locked:
        return busy("heapcheck", "kernel heap")
    lifted = lift_heap(context.space, heap, profile)
    verdict = lifted.verdict(profile)
    findings = heap_findings(lifted, verdict, profile)
    sound = lifted.sound
    used = sound.used if sound else sum(b.magic == profile.rules.magic_used for b in lifted.blocks)
    report = Report(
        "heapcheck",
        f"{len(findings)} finding{'s' * (len(findings) != 1)} in {lifted.count} blocks"
        if findings
        else f"kernel heap is sound: {lifted.count} blocks, {verdict.evaluated} invariants hold",
        findings=findings,
        checked=verdict.evaluated,
    )
    where = f"{heap.heap_start:#x}..{heap.heap_end:#x}, {heap.heap_size:,} bytes"
    free = lifted.count - used
    report.facts += [
        ("heap", f"{where}, {heap.num_expansions} expansions"),
        ("blocks", f"{lifted.count} ({used} used, {free} free){_detours(lifted)}"),
        ("bytes", f"{heap.total_allocated:,} used, {heap.total_free:,} free"),
        (
            "operations",
            f"{heap.num_allocations:,} allocations, {heap.num_frees:,} frees, {sum(heap.errors)} refused",
        ),
    ]
    report.not_checked += [Absent(invariant.formula, why) for invariant, why in verdict.unchecked]
    report.not_checked += [
        Absent(f"heap memory {run.start:#x}..{run.end:#x}", run.reason)
        for run in _unmapped(lifted, profile.rules.header_bytes)
    ]
    return report


def _detours(lifted: LiftedHeap) -> str:
    other = [how for how in lifted.found_by if how is not Discovery.LIST]
    return f"; {len(other)} reached past damage, not by the list" if other else ""


def _unmapped(lifted: LiftedHeap, header_bytes: int) -> list[Run]:
    """Unreadable stretches that a block claims as its own; gaps between regions are none."""
    spans = []
    for block, after in zip_longest(lifted.blocks, lifted.blocks[1:]):
        end = block.address + header_bytes + block.size_bytes
        # A damaged size claims too much: no block reaches beyond the next one.
        spans.append(
            (block.address, min(end, after.address) if after and after.address > block.address else end)
        )
    return [
        run
        for run in lifted.image.unreadable
        if any(start < run.end and run.start < end for start, end in spans)
    ]


COMMAND = Command(
    "heapcheck",
    "Check every block of the kernel heap and name what is corrupt.",
    "Walks the block list, past damage where anything still leads on, and checks magic, state, size,\n"
    "links, tiling and counters. Never writes to the target. Exit code (in $coronel_exit): 0 sound,\n"
    "1 findings, 2 could not check.",
    "heapcheck --json",
    (),
    run,
)
