"""`frames`: the list of free frames node by node, and the ledger: every frame has one owner."""

import argparse
from collections import Counter
from collections.abc import Iterator, Set

from coronel_gdb.checks import catalogue
from coronel_gdb.checks.frames import frame_findings
from coronel_gdb.checks.ownership import ownership_findings
from coronel_gdb.checks.refused import refused_findings
from coronel_gdb.commands.command import Command, Context, Option, busy
from coronel_gdb.commands.many import few
from coronel_gdb.commands.schemes.table import other_report
from coronel_gdb.commands.survey import Survey, value_of
from coronel_gdb.commands.unnamed import note_unnamed
from coronel_gdb.errors import CoronelError, UsageError
from coronel_gdb.lift.activity import is_held
from coronel_gdb.lift.frames import managed_frames
from coronel_gdb.report import Absent, Finding, Report, Table
from model.invariants import ownership
from model.invariants.base import Invariant
from model.ledger import Claim, Owner, Segment
from model.records import FrameManager
from model.types import PAGE_BYTES, PhysicalAddress, align_down

_SHOWN_ROWS = 200


def run(context: Context, options: argparse.Namespace) -> Report:
    """Lift list and spaces, judge them, and count; or say who has one frame."""
    survey = Survey.of(context)
    other = other_report(survey, "frames", options)
    if other is not None:
        return other
    if options.owner is not None and not is_held(survey.frames.manager.locked):
        return _owner(survey, value_of(context, "frames", options.owner, "--owner"))
    return frames_report(survey, options)


def frames_report(survey: Survey, options: argparse.Namespace | None = None) -> Report:
    """The list, and every frame's owner."""
    other = other_report(survey, "frames", options)
    if other is not None:
        return other
    lifted = survey.frames
    manager = lifted.manager
    if is_held(manager.locked):
        return busy("frames", "frame manager")
    verdict = lifted.verdict()
    findings = frame_findings(verdict)
    chronicle = survey.context.chronicle
    findings += refused_findings(
        "frame manager",
        manager.address,
        manager.errors,
        catalogue.FRAME_REFUSED,
        lambda most: chronicle.refused_frames(manager.ranges, most),
    )
    managed, free = managed_frames(manager), lifted.count
    report = Report("frames", "", findings=findings, checked=verdict.evaluated)
    counted = "" if "free_count" in manager.unkept else f", free_count_ says {manager.free_count:,}"
    report.facts.append(("free", f"{free:,} frames in the list ({_size(free)}){counted}"))
    if "ranges" not in manager.unkept:
        report.facts.append(("in use", f"{managed - free:,} of {managed:,} managed frames"))
    report.facts += [
        ("next", f"{lifted.first:#x} is handed out next" if free else "none: the list is empty"),
        *_machine(manager),
    ]
    ranges = () if "ranges" in manager.unkept else manager.ranges
    rows = [
        (start, end, (end - start) // PAGE_BYTES, lifted.free_between(start, end))
        for start, end in sorted(ranges)
    ]
    columns = ("start", "end", "frames", "free")
    if "ranges" not in manager.unkept:
        report.tables.append(Table("managed ranges", columns, rows, frozenset({"start", "end"})))
    try:
        findings += ledger_findings(survey, report)
        if options is not None:
            _views(survey, report, options)
    except CoronelError as error:
        report.not_checked.append(Absent("owners of the frames", str(error)))
    count = len(findings)
    so_far = " as far as checked" if lifted.lost else ""
    about = f"{managed:,} frames, {free:,} of them free" if managed else f"{free:,} free frames"
    report.summary = (
        f"{count} finding{'s' * (count != 1)} about {about}"
        if findings
        else f"free list is sound{so_far}: {free:,} frames"
        + (", as the kernel counts them" if counted and not lifted.lost else "")
    )
    unkept = [*verdict.unkept, *ownership_unkept(manager)]
    note_unnamed(report, survey.context.profile.frames.section, manager, unkept)
    report.not_checked += [Absent(invariant.formula, why) for invariant, why in verdict.unchecked]
    report.not_checked += [
        Absent(f"nodes {run.start:#x}..{run.end:#x}", run.reason) for run in lifted.image.holes()
    ]
    return report


def _machine(manager: FrameManager) -> Iterator[tuple[str, str]]:
    """Where the nodes are and RAM ends, as far as the kernel says so."""
    end = "" if "physical_end" in manager.unkept else f"RAM ends at {manager.physical_end:#x}"
    nodes = f"{manager.node_count:,} at {manager.nodes:#x}" if manager.node_count else ""
    if nodes or end:
        yield "nodes" if nodes else "memory", ", ".join(filter(None, (nodes, end)))


def _views(survey: Survey, report: Report, options: argparse.Namespace) -> None:
    if options.ledger:
        _ledger(survey, report)
    if options.duplicates:
        _listing(report, "claimed twice", [s for s in survey.segments if len(s.claims) > 1])
    if options.leaks:
        lost = [c for c in survey.conflicts if c.invariant is ownership.LOST]
        _listing(report, "lost", [Segment(c.start, c.end, ()) for c in lost])


def ownership_unkept(manager: FrameManager) -> list[tuple[Invariant, str]]:
    """The rules about owners over fields that the kernel does not keep."""
    needs = ((ownership.LOST, "ranges"), (ownership.OUTSIDE, "physical_end"))
    return [(rule, field) for rule, field in needs if field in manager.unkept]


def ledger_findings(
    survey: Survey, report: Report, roots: Set[PhysicalAddress] | None = None
) -> list[Finding]:
    """Frames with two owners, or none; what keeps that from being judged is noted in the report.

    With `roots`, only frames to which a page of these spaces leads.
    """
    if survey.busy:
        why = f"busy: {survey.busy} being changed; `finish` the operation and check again"
        report.not_checked.append(Absent("owners of the frames", why))
        return []
    conflicts = survey.conflicts
    if roots is not None:
        conflicts = [each for each in conflicts if any(_is_page(claim, roots) for claim in each.claims)]
    report.checked += len(survey.ownership_rules)
    reasons = survey.ledger.incomplete
    report.not_checked += few(
        (Absent(ownership.LOST.formula, why) for why in reasons), len(reasons), "frames that may be lost"
    )
    return ownership_findings(conflicts, survey.context.space, survey.spaces.users)


def _is_page(claim: Claim, roots: Set[PhysicalAddress]) -> bool:
    return claim.owner is not Owner.TABLE and claim.root in roots


def _owner(survey: Survey, address: int) -> Report:
    frame = align_down(address, PAGE_BYTES)
    if frame >= 1 << 52:
        raise UsageError(
            f"frames: --owner {address:#x} is no physical address (pagewalk translates virtual ones)"
        )
    segment = next((s for s in survey.segments if s.start <= frame < s.end), None)
    claims = segment.claims if segment else ()
    managed = any(start <= frame < end for start, end in survey.frames.manager.ranges)
    if claims:
        summary = f"frame {frame:#x}: {' and '.join(_claimed(claim, frame) for claim in claims)}"
    elif managed:
        summary = f"frame {frame:#x}: lost, neither free nor a page table nor mapped"
    else:
        summary = f"frame {frame:#x}: not managed and claimed by nobody; no RAM, or the boot loader's"
    report = Report("frames", summary)
    rows = [(claim.owner.value, claim.who, *_place(claim, frame)) for claim in claims]
    report.tables.append(
        Table("claims", ("owner", "who", "virtual", "cr3"), rows, frozenset({"virtual", "cr3"}))
    )
    node = survey.frames.node_of(frame)
    if node is not None:
        report.facts.append(("node", f"{node:#x}"))
    conflicts = [c for c in survey.conflicts if c.start <= frame < c.end]
    report.findings += ownership_findings(conflicts, survey.context.space, survey.spaces.users)
    report.checked = len(survey.ownership_rules)
    return report


def _place(claim: Claim, frame: int) -> tuple[object, object]:
    if not claim.root:
        return "-", "-"
    offset = frame - claim.start if claim.owner is not Owner.TABLE else 0
    return claim.virtual + offset, claim.root


def _claimed(claim: Claim, frame: int) -> str:
    virtual, _ = _place(claim, frame)
    return f"{claim.owner.value}, {claim.who}" + (f" at {virtual:#x}" if isinstance(virtual, int) else "")


def _ledger(survey: Survey, report: Report) -> None:
    """Every frame number below the end of RAM under one head, and what is left over."""
    total = survey.frames.manager.physical_end // PAGE_BYTES
    counts: Counter[tuple[str, str]] = Counter()
    managed = sorted(survey.frames.manager.ranges)
    at = 0
    for segment in (
        *survey.segments,
        Segment(survey.frames.manager.physical_end, survey.frames.manager.physical_end, ()),
    ):
        start, end = min(segment.start, total * PAGE_BYTES), min(segment.end, total * PAGE_BYTES)
        for low, high, claims in ((at, start, ()), (start, end, segment.claims)):
            inside = sum(max(0, min(high, b) - max(low, a)) for a, b in managed) if not claims else 0
            if claims:
                first = min(claims, key=lambda claim: _ORDER[claim.owner])
                counts[first.owner.value, first.who] += (high - low) // PAGE_BYTES
            elif high > low:
                counts["lost", "nobody"] += inside // PAGE_BYTES
                counts["no RAM, or reserved", "firmware"] += (high - low - inside) // PAGE_BYTES
        at = max(at, end)
    rows = [(owner, who, frames, _size(frames)) for (owner, who), frames in counts.items() if frames]
    rows.append(("residue", "", total - sum(counts.values()), ""))
    report.tables.append(Table("ledger", ("owner", "who", "frames", "size"), rows))


_ORDER = {owner: number for number, owner in enumerate(Owner)}


def _listing(report: Report, title: str, segments: list[Segment]) -> None:
    rows = [
        (s.start, s.end, (s.end - s.start) // PAGE_BYTES, "; ".join(_claimed(c, s.start) for c in s.claims))
        for s in segments
    ]
    columns = ("start", "end", "frames", "claims")
    report.tables.append(Table(title, columns, rows[:_SHOWN_ROWS], frozenset({"start", "end"})))
    frames = sum(row[2] for row in rows)
    more = f", the first {_SHOWN_ROWS} are listed" if len(rows) > _SHOWN_ROWS else ""
    report.facts.append((title, f"{frames:,} frames in {len(rows):,} ranges{more}"))


def _size(frames: int) -> str:
    kib = frames * PAGE_BYTES >> 10
    return f"{kib / 1024:,.1f} MiB" if kib >= 1024 else f"{kib} KiB"


COMMAND = Command(
    "frames",
    "Check the list of free frames and every frame's owner.",
    "Follows free_list_ to its end (bounded, cycles are found) and checks every node's place, address\n"
    "and range, the count, and that no other node claims to be free. Then all page tables are walked:\n"
    "a frame that is free and mapped, mapped by two, or claimed by nobody is a finding. Exit code (in\n"
    "$coronel_exit): 0 sound, 1 findings, 2 could not check.",
    "frames --ledger",
    (
        Option("--owner", "who has this frame: a physical address", "FRAME"),
        Option("--ledger", "count every frame of the machine by its owner, and print the residue"),
        Option("--duplicates", "list frames that are claimed more than once"),
        Option("--leaks", "list frames that are neither free nor a page table nor mapped"),
    ),
    run,
)
