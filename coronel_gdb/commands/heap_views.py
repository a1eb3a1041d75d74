"""Views of a heap beside its verdict: one block, all blocks, sizes, a drawing, and how much is known."""

import argparse
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice, zip_longest

from coronel_gdb.checks.damage import hexdump
from coronel_gdb.checks.heap import state_of
from coronel_gdb.commands.survey import Survey, value_of
from coronel_gdb.commands.unnamed import figure
from coronel_gdb.lift.heap import Discovery, LiftedHeap
from coronel_gdb.lift.space import Run
from coronel_gdb.profiles.schema import HeapProfile
from coronel_gdb.report import Report, Table
from model.invariants.base import Verdict, Violation
from model.records import HeapBlock, HeapRules

_MOST_ROWS = 10_000
_DUMP_BYTES = 64
_MAP_COLUMNS, _MAP_ROWS = 56, 24
_HEADS = ("address", "size", "state", "data", "end")
_HEX = frozenset({"address", "data", "end"})


def coverage(lifted: LiftedHeap, violations: Sequence[Violation], rules: HeapRules) -> str:
    """Which share of the heap is proved, inferred or not readable, in percent of heap_size_."""
    if lifted.sound:
        return "100 % proved"
    size = lifted.heap.heap_size
    if not size:
        return "nothing: the heap is empty"
    damaged = {violation.subject for violation in violations}
    unreadable = sum(run.end - run.start for run in unmapped(lifted, rules.header_bytes))
    proved = inferred = 0
    for block, how in zip(lifted.blocks, lifted.found_by, strict=True):
        extent = rules.header_bytes + block.size_bytes
        if block.address in damaged or block.address + extent > lifted.image.end:
            continue
        if how is Discovery.LIST:
            proved += extent
        else:
            inferred += extent
    proved = min(proved, max(0, size - unreadable))  # a block's header proves it, not data that is not there
    shares = [min(100.0, 100 * part / size) for part in (proved, inferred, min(unreadable, size))]
    rest = max(0.0, 100 - sum(shares))
    return (
        f"{shares[0]:.1f} % proved, {shares[1]:.1f} % inferred past {obstacle(lifted)},"
        f" {shares[2]:.1f} % not readable, {rest:.1f} % damaged or unknown"
    )


def obstacle(lifted: LiftedHeap) -> str:
    """What lies in front of blocks that no list leads to."""
    return "what is not there" if lifted.gaps else "damage"


def recount(lifted: LiftedHeap, verdict: Verdict, rules: HeapRules) -> str:
    """What the blocks add up to, damaged sizes as they must be, beside the kernel's own figures."""
    wanted = {v.subject: v.expected for v in verdict.violations if v.field == "size" and v.expected}
    sums = {"used": 0, "free": 0}
    for block in lifted.blocks if not lifted.sound else ():
        state = state_of(block, rules)
        if state in sums:
            sums[state] += wanted.get(block.address, block.size_bytes)
    return (
        f"counters {figure(lifted.heap, 'total_allocated', ' used')},"
        f" {figure(lifted.heap, 'total_free', ' free')} by the kernel;"
        f" {sums['used']:,} used, {sums['free']:,} free by the blocks"
    )


def unmapped(lifted: LiftedHeap, header_bytes: int) -> Sequence[Run]:
    """Unreadable stretches that a block claims as its own, or may; gaps between regions are none."""
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
        if run.lost or any(start < run.end and run.start < end for start, end in spans)
    ]


def add_asked(
    survey: Survey, lifted: LiftedHeap, report: Report, options: argparse.Namespace, profile: HeapProfile
) -> None:
    """The views that the options of `heapcheck` ask for."""
    if options.block is not None:
        add_block(report, lifted, profile, value_of(survey.context, "heapcheck", options.block, "--block"))
    if options.blocks:
        add_blocks(report, lifted, profile)
    if options.stats:
        add_stats(report, lifted, profile)
    if options.map:
        add_map(report, lifted, profile)


def add_block(report: Report, lifted: LiftedHeap, profile: HeapProfile, address: int) -> None:
    """The block that holds the address, between its neighbours."""
    header = profile.rules.header_bytes
    before: HeapBlock | None = None
    blocks = iter(lifted.all_blocks(profile))
    for block in blocks:
        if block.address <= address < block.address + header + block.size_bytes:
            break
        before = block
    else:
        report.facts.append(("block", f"{address:#x} lies in no block"))
        return
    offset = address - block.address
    part = f"header +{offset}" if offset < header else f"data +{offset - header}"
    report.facts.append(
        (
            "block",
            f"{address:#x} is {part} of a {state_of(block, profile.rules)} block of {block.size_bytes} bytes",
        )
    )
    around = [item for item in (before, block, next(blocks, None)) if item is not None]
    report.tables.append(Table("block and neighbours", _HEADS, [_row(b, profile) for b in around], _HEX))
    size = header + min(block.size_bytes, _DUMP_BYTES)
    data = lifted.image.bytes_at(block.address, size)
    if data is not None:
        rows = [(line,) for line in hexdump(data, block.address, (0, 0), {})]
        report.tables.append(Table("bytes", ("header and data",), rows))


def add_blocks(report: Report, lifted: LiftedHeap, profile: HeapProfile) -> None:
    """All blocks in list order."""
    rows = [_row(block, profile) for block in islice(lifted.all_blocks(profile), _MOST_ROWS)]
    report.tables.append(Table("blocks", _HEADS, rows, _HEX))
    if lifted.count > _MOST_ROWS:
        report.facts.append(("listed", f"the first {_MOST_ROWS:,} of {lifted.count:,} blocks"))


def add_stats(report: Report, lifted: LiftedHeap, profile: HeapProfile) -> None:
    """Blocks by powers of two of their size."""
    counts: Counter[tuple[int, str]] = Counter()
    sums: Counter[tuple[int, str]] = Counter()
    largest = free = 0
    for block, end in _extents(lifted, profile):
        state = state_of(block, profile.rules)
        size = max(0, end - block.address - profile.rules.header_bytes)
        key = max(0, size - 1).bit_length(), state
        counts[key] += 1
        sums[key] += size
        if state == "free":
            free += size
            largest = max(largest, size)
    rows = [
        (1 << power, counts[power, "used"], sums[power, "used"], counts[power, "free"], sums[power, "free"])
        for power in sorted({power for power, _ in counts})
    ]
    columns = ("up to bytes", "used", "used bytes", "free", "free bytes")
    report.tables.append(Table("blocks by size", columns, rows))
    scattered = f"{100 * (1 - largest / free):.1f} %" if free else "-"
    headers = profile.rules.header_bytes * lifted.count
    report.facts += [
        (
            "scattered",
            f"{scattered} of the free bytes lie outside the largest free block ({largest:,} bytes)",
        ),
        ("headers", f"{headers:,} bytes, {100 * headers / max(1, lifted.heap.heap_size):.1f} % of the heap"),
    ]


def add_map(report: Report, lifted: LiftedHeap, profile: HeapProfile) -> None:
    """The heap as rows of cells: used, free, both, damaged or of unknown state, not readable."""
    start, end = lifted.image.start, lifted.image.end
    if end <= start:
        return
    cell = max(16, -(-(end - start) // (_MAP_COLUMNS * _MAP_ROWS) // 16) * 16)
    marks = [0] * -(-(end - start) // cell)
    for run in lifted.image.unreadable:
        _mark(marks, run.start - start, run.end - start, cell, 8)
    damaged = {finding.subject for finding in report.findings}
    for block, stop in _extents(lifted, profile):
        bit = {"used": 1, "free": 2}.get(state_of(block, profile.rules), 4)
        _mark(marks, block.address - start, stop - start, cell, 4 if block.address in damaged else bit)
    rows = []
    for first in range(0, len(marks), _MAP_COLUMNS):
        text = "".join(_cell(mark) for mark in marks[first : first + _MAP_COLUMNS])
        rows.append((start + first * cell, text))
    title = f"map: # used, . free, + both, ! damaged, ? not readable, a cell is {cell:,} bytes"
    report.tables.append(Table("map", ("from", "heap"), rows, frozenset({"from"})))
    report.facts.append(("map", title.removeprefix("map: ")))


def _extents(lifted: LiftedHeap, profile: HeapProfile) -> Iterator[tuple[HeapBlock, int]]:
    """Every block and where it ends: a damaged size claims too much, no block reaches beyond the next one."""
    blocks = iter(lifted.all_blocks(profile))
    block = next(blocks, None)
    while block is not None:
        after = next(blocks, None)
        end = min(block.address + profile.rules.header_bytes + block.size_bytes, int(lifted.image.end))
        if after is not None and after.address > block.address:
            end = min(end, after.address)
        yield block, end
        block = after


def _mark(marks: list[int], start: int, stop: int, cell: int, bit: int) -> None:
    for index in range(max(0, start // cell), min(len(marks), -(-stop // cell))):
        marks[index] |= bit


def _cell(mark: int) -> str:
    if mark & 4:
        return "!"
    if mark & 8 and not mark & 3:
        return "?"
    return {0: " ", 1: "#", 2: "."}.get(mark & 3, "+")


def _row(block: HeapBlock, profile: HeapProfile) -> tuple[object, ...]:
    data = block.address + profile.rules.header_bytes
    return block.address, block.size_bytes, state_of(block, profile.rules), data, data + block.size_bytes
