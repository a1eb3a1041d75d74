"""Charts of a survey: heap map, frame map, address spaces, growth, allocation sites."""

from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from itertools import zip_longest

from coronel_gdb.checks.heap import state_of
from coronel_gdb.commands.survey import Survey
from coronel_gdb.errors import CoronelError
from coronel_gdb.lift.growth import follow_growth
from coronel_gdb.lift.heap import LiftedHeap
from coronel_gdb.lift.places import Places
from coronel_gdb.lift.trace import lift_trace
from coronel_gdb.profiles.schema import HeapProfile
from coronel_gdb.profiles.trace import resolve_replay
from coronel_gdb.report import Absent, Bars, Chart, Curve, Finding, Map, Report
from model.ledger import Owner, Segment
from model.spaces import Space
from model.types import PAGE_BYTES

_COLUMNS, _ROWS = 256, 24
_LEAST_CELL_BYTES = 16
_SITES = 12
_MOST_SPANS = 48
_GAP_BYTES = 64 << 20
_DAMAGED = "damaged"
Cells = list[str]


def heap_map(survey: Survey, findings: Sequence[Finding]) -> Map:
    """The kernel heap block by block, as finely as can be seen."""
    lifted, profile = survey.heap, survey.context.profile.heap
    start, end = int(lifted.image.start), int(lifted.image.end)
    cell = _cell(end - start, _LEAST_CELL_BYTES)
    cells = [""] * -(-(end - start) // cell)
    damaged = {finding.subject for finding in findings}
    for low, high, kind in _heap_spans(lifted, profile, damaged):
        for index in range(max(0, (low - start) // cell), min(len(cells), -(-(high - start) // cell))):
            if cells[index] in ("", kind) or kind == _DAMAGED:
                cells[index] = kind
            elif cells[index] != _DAMAGED:
                cells[index] = "used and free"
    marks = [(f.subject, f.code) for f in findings if start <= f.subject < end]
    note = (
        f"{lifted.count:,} blocks; one cell is {cell:,} bytes. A damaged block is drawn up to the next one."
    )
    return Map("Kernel heap", note, list(_wrapped(cells, start, cell)), marks)


def _heap_spans(
    lifted: LiftedHeap, profile: HeapProfile, damaged: Set[int]
) -> Iterator[tuple[int, int, str]]:
    for run in lifted.image.unreadable:
        yield run.start, run.end, "not readable"
    blocks = sorted(lifted.all_blocks(profile), key=lambda block: block.address)
    for block, after in zip_longest(blocks, blocks[1:]):
        end = block.address + profile.rules.header_bytes + block.size_bytes
        # A damaged size claims too much: no block reaches beyond the next one.
        end = min(end, after.address if after else lifted.image.end)
        state = _DAMAGED if block.address in damaged else state_of(block, profile.rules)
        yield block.address, end, state


def sizes(survey: Survey, findings: Sequence[Finding]) -> Bars:
    """How the free memory is scattered: bytes in free blocks by powers of two."""
    profile = survey.context.profile.heap
    damaged = {finding.subject for finding in findings}
    sums: dict[int, int] = {}
    counts: dict[int, int] = {}
    largest = 0
    for block in survey.heap.all_blocks(profile):
        if state_of(block, profile.rules) == "free" and block.address not in damaged:
            largest = max(largest, block.size_bytes)
            power = max(4, (block.size_bytes - 1).bit_length())
            sums[power] = sums.get(power, 0) + block.size_bytes
            counts[power] = counts.get(power, 0) + 1
    total = sum(sums.values())
    rows = [
        (f"up to {_bytes(1 << power)}", sums[power], f"{counts[power]:,} blocks") for power in sorted(sums)
    ]
    share = f"{100 * (1 - largest / total):.1f} %" if total else "none"
    note = f"{share} of the free bytes lie outside the largest free block ({_bytes(largest)})."
    return Bars("Free memory by size of block", note, "bytes", rows)


def frame_map(survey: Survey) -> Map:
    """Physical memory by owner; large holes are left out."""
    segments = [segment for segment in survey.segments if segment.claims]
    managed = sorted(survey.frames.manager.ranges)
    end_of_ram = survey.frames.manager.physical_end
    known = [(s.start, min(s.end, end_of_ram), _kind(s)) for s in segments if s.start < end_of_ram]
    stretches = _stretches([*((low, high) for low, high, _ in known), *managed])
    cell = max(PAGE_BYTES, _cell(sum(high - low for low, high in stretches), PAGE_BYTES))
    rows: list[tuple[str, int, int, list[tuple[int, int, str]]]] = []
    for low, high in stretches:
        cells = [""] * -(-(high - low) // cell)
        filled = [0] * len(cells)
        for first, last, kind in known:
            for index in range(max(0, (first - low) // cell), min(len(cells), -(-(last - low) // cell))):
                at = low + index * cell
                share = min(last, at + cell) - max(first, at)
                if kind == "two owners" or (share > filled[index] and cells[index] != "two owners"):
                    cells[index], filled[index] = kind, share
        if not survey.ledger.incomplete and not survey.frames.stop:
            for first, last in managed:
                for index in range(max(0, (first - low) // cell), min(len(cells), (last - low) // cell)):
                    cells[index] = cells[index] or "lost"
        rows += _wrapped(cells, low, cell)
    note = f"One cell is {_bytes(cell)} and shows who has most of it; a frame with two owners always shows."
    return Map("Physical memory by owner", note, rows)


def _kind(segment: Segment) -> str:
    owners = {claim.owner for claim in segment.claims}
    if Owner.FREE in owners and len(owners) > 1:
        return "two owners"
    return min(segment.claims, key=lambda claim: list(Owner).index(claim.owner)).owner.value


def _stretches(pieces: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    merged: list[tuple[int, int]] = []
    for low, high in sorted(pieces):
        if merged and low <= merged[-1][1] + _GAP_BYTES:
            merged[-1] = merged[-1][0], max(merged[-1][1], high)
        else:
            merged.append((low, high))
    return merged


def spaces(survey: Survey) -> Map:
    """The kernel's half, and the lower half of every process, by effective rights."""
    rows = [_space_row("kernel", survey.spaces.kernel, upper=True)]
    rows += [
        _space_row(f"{user.process.pid} {user.process.title}", user.space, upper=False)
        for user in survey.spaces.users
    ]
    note = "Pages by rights (r, w, x; u: ring 3 can use them). Not to scale: gaps are shortened."
    return Map("Address spaces", note, rows, to_scale=False)


def _space_row(name: str, space: Space, *, upper: bool) -> tuple[str, int, int, list[tuple[int, int, str]]]:
    spans: list[tuple[int, int, str]] = []
    for run in sorted(space.runs, key=lambda run: run.virtual):
        if run.virtual >> 63 != upper:
            continue
        rights = run.rights
        kind = f"r{'w' if rights.writable else '-'}{'x' if rights.executable else '-'}{' u' * rights.user}"
        if spans and spans[-1][1] == run.virtual and spans[-1][2] == kind:
            spans[-1] = spans[-1][0], run.virtual + run.size_bytes, kind
        else:
            spans.append((run.virtual, run.virtual + run.size_bytes, kind))
    more = f" (first {_MOST_SPANS} of {len(spans)})" if len(spans) > _MOST_SPANS else ""
    spans = spans[:_MOST_SPANS]
    return name + more, spans[0][0] if spans else 0, spans[-1][1] if spans else 0, spans


def growth(survey: Survey) -> Iterator[Chart]:
    """What the trace tells: heap and frames over time, and who holds the heap now."""
    context = survey.context
    profile = resolve_replay(context.named, context.target.kernel())
    trace = lift_trace(context.target, context.space, profile.trace)
    found = follow_growth(trace.records)
    lost = f" The first {trace.lost:,} operations are lost, so it counts from there." if trace.lost else ""
    records = f"{len(trace.records):,} operations of the trace.{lost}"
    yield Curve("Heap in use", records, "operation", "bytes", found.heap)
    yield Curve("Frames taken since the first operation", records, "operation", "frames", found.frames)
    place = Places(context.target.kernel())
    shown = found.sites[:_SITES]
    place.load(site.caller for site in shown)
    rows = [
        (place.at(site.caller), site.size_bytes, f"{site.blocks:,} block{'s' * (site.blocks != 1)}")
        for site in shown
    ]
    note = f"Bytes asked for and not freed, by the place of the call; {len(found.sites):,} places in all."
    yield Bars("Who holds the heap", note, "bytes", rows)


def draw(survey: Survey, report: Report) -> None:
    """All charts that this target gives; what cannot be drawn is noted."""
    charts: tuple[tuple[str, Callable[[], Iterable[Chart]]], ...] = (
        ("drawing of the heap", lambda: (heap_map(survey, report.findings), sizes(survey, report.findings))),
        ("drawing of the frames", lambda: (frame_map(survey),)),
        ("drawing of the spaces", lambda: (spaces(survey),)),
        ("drawing of the growth", lambda: growth(survey)),
    )
    for what, chart in charts:
        try:
            report.charts += chart()
        except CoronelError as error:
            report.not_checked.append(Absent(what, str(error)))


def _cell(size_bytes: int, least: int) -> int:
    """Bytes a cell, a multiple of `least`, so that the whole fits into the rows."""
    return max(least, -(-size_bytes // (_COLUMNS * _ROWS) // least) * least)


def _wrapped(
    cells: Cells, start: int, cell: int
) -> Iterator[tuple[str, int, int, list[tuple[int, int, str]]]]:
    """Rows of cells, equal neighbours joined."""
    for first in range(0, len(cells), _COLUMNS):
        row = cells[first : first + _COLUMNS]
        spans: list[tuple[int, int, str]] = []
        for number, kind in enumerate(row):
            at = start + (first + number) * cell
            if kind and spans and spans[-1][1] == at and spans[-1][2] == kind:
                spans[-1] = spans[-1][0], at + cell, kind
            elif kind:
                spans.append((at, at + cell, kind))
        begin = start + first * cell
        yield f"{begin:#x}", begin, begin + _COLUMNS * cell, spans


def _bytes(size_bytes: int) -> str:
    for unit, factor in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if size_bytes >= factor and size_bytes % factor == 0:
            return f"{size_bytes // factor:,} {unit}"
    return f"{size_bytes:,} bytes"
