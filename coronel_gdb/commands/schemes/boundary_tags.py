"""`heapcheck` of a kernel whose heap has boundary tags."""

import argparse
from bisect import bisect_right
from collections.abc import Iterator

from coronel_gdb.checks.chunks import chunk_findings
from coronel_gdb.checks.folding import fold
from coronel_gdb.commands.command import busy
from coronel_gdb.commands.heap_views import add_asked, coverage
from coronel_gdb.commands.roles.role import Role
from coronel_gdb.commands.surroundings import placed
from coronel_gdb.commands.survey import Survey
from coronel_gdb.commands.unnamed import figure, note_unnamed
from coronel_gdb.lift.activity import is_held
from coronel_gdb.lift.chunks import LiftedArena, fields_of, follow_arena, read_arena, rules_of
from coronel_gdb.lift.heap import Discovery, LiftedHeap
from coronel_gdb.profiles.schema import HeapProfile, Section
from coronel_gdb.report import Absent, Report
from model.records import Heap, HeapBlock, HeapRules

_WORD = 8
_FREE, _USED = 1, 2  # stand for the magics that chunks do not have


def arena_report(survey: Survey, section: Section, options: argparse.Namespace | None) -> Report:
    """The chunks, the bins and the arena's own fields."""
    context = survey.context
    arena = read_arena(context.target, context.space, section)
    if is_held(arena.locked):
        return busy("heapcheck", "kernel heap")
    lifted = lift_chunks(survey, section)
    verdict = lifted.verdict()
    findings, _ = fold(chunk_findings(lifted, verdict))
    findings = placed(survey, findings)
    report = Report("heapcheck", "", findings=findings, checked=verdict.evaluated)
    blocks, profile = as_blocks(lifted, section)
    free = [
        is_free
        for chunk, is_free in zip(lifted.chunks, lifted.free(), strict=True)
        if chunk.address != arena.top
    ]
    searched = f"; {len(lifted.searched)} reached past damage, not by a size" if lifted.searched else ""
    members = sum(len(ring) - ring.count(None) for _, ring in lifted.rings)
    report.facts += [
        ("heap", f"{arena.start:#x}..{arena.end:#x}, {arena.end - arena.start:,} bytes"),
        (
            "chunks",
            f"{len(lifted.chunks)} ({free.count(False)} used, {free.count(True)} free, and top){searched}",
        ),
        ("bins", f"{len(arena.bins)}, with {members} chunks"),
        (
            "counters",
            f"{figure(arena, 'used_bytes', ' bytes used')}, {figure(arena, 'used_chunks', ' chunks used')}",
        ),
        ("coverage", coverage(blocks, verdict.violations, profile.rules)),
    ]
    note_unnamed(report, section, arena, verdict.unkept)
    report.not_checked += [Absent(invariant.formula, why) for invariant, why in verdict.unchecked]
    report.not_checked += [
        Absent(f"heap memory {run.start:#x}..{run.end:#x}", run.reason) for run in lifted.image.holes()
    ]
    report.not_checked += [
        Absent(f"chunks in {start:#x}..{end:#x}", "the header that leads to them is not there")
        for start, end in lifted.unknown()
    ]
    if options is not None:
        add_asked(survey, blocks, report, options, profile)
        if options.leaks:
            why = "references are looked for in kernels with the address map of docs/spec.md §2 only"
            report.not_checked.append(Absent("references to blocks", why))
    count, so_far = len(findings), " as far as checked" if lifted.gaps else ""
    report.summary = (
        f"{count} finding{'s' * (count != 1)} in {len(lifted.chunks)} chunks of the kernel heap"
        if findings
        else f"kernel heap is sound{so_far}: {len(lifted.chunks)} chunks, {report.checked} invariants hold"
    )
    return report


def lift_chunks(survey: Survey, section: Section) -> LiftedArena:
    """The arena of the stopped kernel with all its chunks."""
    context = survey.context
    arena = read_arena(context.target, context.space, section)
    return follow_arena(context.space, arena, rules_of(section), fields_of(section))


def as_blocks(lifted: LiftedArena, section: Section) -> tuple[LiftedHeap, HeapProfile]:
    """The chunks as blocks with a header, which is what the views of a heap show."""
    header = lifted.fields.fd
    blocks = LiftedHeap(_heap(lifted), lifted.image, end=lifted.end)
    for index, (chunk, is_free) in enumerate(zip(lifted.chunks, lifted.free(), strict=True)):
        size = max(0, lifted.size_of(index) - header)
        state = _FREE if is_free else _USED  # top is free in a view
        blocks.blocks.append(HeapBlock(chunk.address, size, int(is_free), chunk.fd, chunk.bk, state))
        by_size = chunk.address not in lifted.searched
        blocks.found_by.append(Discovery.LIST if by_size else Discovery.GEOMETRY)
    structures = section.structures
    rules = HeapRules(header, lifted.rules.alignment_bytes, lifted.rules.minimum_bytes, _FREE, _USED)
    return blocks, HeapProfile(section.symbol, structures["type"], structures["chunk"], rules, section)


def _heap(lifted: LiftedArena) -> Heap:
    arena = lifted.arena
    size = arena.end - arena.start
    kept = frozenset(
        {"total_allocated", "total_free", "num_allocations", "num_frees", "num_expansions", "errors"}
    )
    return Heap(
        arena.address, arena.start, arena.end, size, arena.start, 0, 0, 0, 0, 0, (), arena.locked, kept
    )


def chunk_roles(survey: Survey, section: Section, address: int) -> Iterator[Role]:
    """The chunk that an address lies in, between its neighbours."""
    arena = read_arena(survey.context.target, survey.context.space, section)
    if not arena.start <= address < arena.end:
        return
    if is_held(arena.locked):
        why = "its lock is held, so an operation is under way: `finish` it and ask again"
        survey.absent.append(Absent("kernel heap", why))
    lifted = lift_chunks(survey, section)
    free, fields = lifted.free(), section.structures["chunk"]
    index = bisect_right(lifted.chunks, address, key=lambda chunk: chunk.address) - 1
    if index < 0 or address >= lifted.chunks[index].address + lifted.size_of(index):
        return

    def named(at: int) -> str:
        is_top = lifted.chunks[at].address == arena.top
        return f"{'top' if is_top else 'free' if free[at] else 'used'} chunk of {lifted.size_of(at)} bytes"

    start = lifted.chunks[index].address
    offset = address - start
    names = ("prev_size", "size", "fd", "bk") if free[index] else ("prev_size", "size")
    part = next((name for name in names if 0 <= offset - fields.offset(name) < _WORD), "data")
    around = [
        f"{side} {lifted.chunks[at].address:#x} ({named(at)})"
        for side, at in (("before it", index - 1), ("behind it", index + 1))
        if 0 <= at < len(lifted.chunks)
    ]
    yield Role(f"{part} of a {named(index)}", start, offset, tuple(around))
