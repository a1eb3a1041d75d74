"""What the operations explain: both stops beside the model, which has done the same operations."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from coronel_gdb.checks.replay import PlaceOf, damage_finding, divergence_finding
from coronel_gdb.commands.stops.operations import Between
from coronel_gdb.commands.stops.side import Side
from coronel_gdb.errors import CoronelError
from coronel_gdb.lift.compared import Comparison, Mismatch, compare
from coronel_gdb.lift.trace import LiftedTrace
from coronel_gdb.report import Absent, Finding
from model.errors import ErrorKind
from model.fast.machine import FastMachine
from model.layouts import HEAP_BLOCK, TRACE_RECORD_BYTES
from model.replay import Divergence, Replayed, is_interleaved, is_refusal, replay
from model.touched import LastTouch
from model.trace import TraceRecord
from model.types import VirtualAddress

_SHOWN = 16


@dataclass(slots=True)
class Explained:
    """The verdict: `why_not` is why there is none, else empty."""

    why_not: str = ""
    findings: list[Finding] = field(default_factory=list)
    facts: list[tuple[str, str]] = field(default_factory=list)
    absent: list[Absent] = field(default_factory=list)
    unexplained_bytes: int = 0
    structures: int = 0
    """With bytes that no operation explains."""
    checked: int = 0


@dataclass(frozen=True, slots=True)
class _Played:
    """The model after some records; `parted` is where the kernel refused what the model gives."""

    machine: FastMachine
    outcome: Replayed
    parted: Divergence | None

    @property
    def why_not(self) -> str:
        """Why memory cannot be compared with it; empty when it can."""
        if self.outcome.divergence is not None:
            return f"kernel and model have gone apart since #{self.outcome.divergence.sequence}"
        if self.outcome.unfinished:
            return "an operation is under way"
        return f"the model cannot follow: {self.machine.unsound}" if self.machine.unsound else ""


def explain(before: Side, after: Side, found: Between, place: PlaceOf) -> Explained:
    """Replay the run up to each stop, and compare; what was unexplained at the first stop is no news."""
    verdict = Explained(found.why_not_whole)
    if verdict.why_not:
        return verdict
    try:
        boot = after.boot
    except CoronelError as error:
        verdict.why_not = str(error)
        return verdict
    booted = FastMachine.of(boot.machine, after.replaying.habits())
    first, second = (_play(booted, records) for records in (found.whole[: found.first], found.whole))
    if second.parted is not None and second.parted.sequence >= found.first:
        verdict.findings.append(_divergence(second, after, found.whole, place))
    for played, side in ((first, before), (second, after)):
        if played.why_not:
            verdict.why_not = f"{side.name}: {played.why_not}"
            return verdict
    fields = boot.machine.frames.fields
    nodes, heap = fields.get("nodes_"), boot.machine.heap.fields.address
    was, now = (_compared(side, played, nodes, heap) for side, played in ((before, first), (after, second)))
    verdict.checked = second.outcome.performed + second.outcome.nested + sum(now.structures.values())
    _unreadable(verdict, before, was)
    _unreadable(verdict, after, now)
    known = {_key(mismatch): mismatch for mismatch in was.mismatches}
    fresh = list(_news(now.mismatches, known))
    healed = len(known.keys() - {_key(mismatch) for mismatch in now.mismatches})
    if known:
        stale = (
            f"{len(known)} structure{'s' * (len(known) != 1)} with bytes that no operation explains: `replay`"
        )
        verdict.facts.append(("before", stale))
    if healed:
        verdict.facts.append(("mended", f"{healed} of them are now as the operations leave them"))
    _findings(verdict, fresh, booted, second, found.whole, place)
    return verdict


def _play(booted: FastMachine, records: Sequence[TraceRecord]) -> _Played:
    machine = booted.fresh()
    outcome = replay(machine, records)
    parted = outcome.divergence
    if parted is not None and is_refusal(parted):
        machine = booted.fresh()
        outcome = replay(machine, records, refused=parted.root)
    return _Played(machine, outcome, parted)


def _compared(side: Side, played: _Played, nodes: int, heap: VirtualAddress) -> Comparison:
    """Memory beside the model; the heap's count of refusals follows from the divergence, and is no damage."""
    frames = side.survey.frames.manager.address
    found = compare(side.context.space, played.machine, heap, frames, nodes, processes=False)
    if played.parted is not None:
        refused = f"errors_[{int(ErrorKind.CORRUPTION_DETECTED)}]"
        found.mismatches = [
            mismatch
            for mismatch in found.mismatches
            if not (mismatch.piece.noun == "heap object" and [f.name for f in mismatch.fields] == [refused])
        ]
    return found


def _key(mismatch: Mismatch) -> tuple[str, int]:
    return mismatch.piece.noun, mismatch.piece.address


def _news(now: Sequence[Mismatch], known: dict[tuple[str, int], Mismatch]) -> Iterator[Mismatch]:
    """What of each mismatch was not there before: bytes that were wrong already and stayed are left out."""
    for mismatch in now:
        old = known.get(_key(mismatch))
        if old is None or len(old.found) != len(mismatch.found):
            yield mismatch
            continue
        mask = bytearray(mismatch.piece.mask)
        for at, (was, held) in enumerate(zip(old.found, mismatch.found, strict=True)):
            if was == held and (was ^ old.piece.data[at]) & old.piece.mask[at]:
                mask[at] = 0
        pairs = enumerate(zip(mismatch.found, mismatch.piece.data, mask, strict=True))
        differ = [at for at, (held, expected, bits) in pairs if (held ^ expected) & bits]
        if differ:
            start = mismatch.piece.address
            piece = replace(mismatch.piece, mask=bytes(mask))
            yield Mismatch(piece, mismatch.found, start + differ[0], start + differ[-1] + 1)


def _findings(
    verdict: Explained,
    fresh: Sequence[Mismatch],
    booted: FastMachine,
    played: _Played,
    records: Sequence[TraceRecord],
    place: PlaceOf,
) -> None:
    shown = fresh[:_SHOWN]
    damaged = tuple(mismatch.piece.address for mismatch in shown if mismatch.piece.layout is HEAP_BLOCK)
    refused = played.parted.root if played.parted is not None else None
    touch = LastTouch(damaged, frees_count=True)
    if damaged:
        replay(booted.fresh(), records[: refused.sequence] if refused is not None else records, watch=touch)
    verdict.findings += [
        damage_finding(mismatch, played.machine, records, touch.last, refused, place) for mismatch in shown
    ]
    if len(fresh) > _SHOWN:
        verdict.facts.append(("more", f"{len(fresh) - _SHOWN} more structures have such bytes"))
    verdict.structures = len(fresh)
    verdict.unexplained_bytes = sum(mismatch.end - mismatch.start for mismatch in fresh)


def _divergence(played: _Played, after: Side, records: Sequence[TraceRecord], place: PlaceOf) -> Finding:
    parted, trace = played.parted, after.trace
    assert parted is not None
    assert isinstance(trace, LiftedTrace)
    address = trace.address + parted.sequence % trace.capacity * TRACE_RECORD_BYTES
    agreed = played.outcome.performed - 1 + played.outcome.nested
    mixed = is_interleaved(records, parted.root)
    return divergence_finding(parted, address, agreed, place, interleaved=mixed)


def _unreadable(verdict: Explained, side: Side, found: Comparison) -> None:
    for noun, address, reason in found.unreadable[:_SHOWN]:
        verdict.absent.append(Absent(f"{noun} at {address:#x}, {side.name}", reason))
    if len(found.unreadable) > _SHOWN:
        why = "cannot be read either"
        verdict.absent.append(Absent(f"{len(found.unreadable) - _SHOWN} more structures, {side.name}", why))
