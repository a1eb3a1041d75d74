"""`replay`: the kernel's trace run on the model, operation by operation, and its memory beside the result."""

import argparse
from collections.abc import Iterator

from coronel_gdb.checks.catalogue import TRACE_FREE_MAPPED, TRACE_MISUSE
from coronel_gdb.checks.misuse import free_mapped_finding, last_free, misuse_finding
from coronel_gdb.checks.replay import (
    bad_record_finding,
    damage_finding,
    divergence_finding,
    first_divergence,
)
from coronel_gdb.commands.command import Command, Context, Option, busy
from coronel_gdb.commands.replays.minimised import add_minimised
from coronel_gdb.commands.replays.user_side import add_user_side
from coronel_gdb.commands.replays.window import add_window
from coronel_gdb.errors import CoronelError
from coronel_gdb.lift.activity import A_PROCESS, under_way
from coronel_gdb.lift.boot import BootState, lift_boot
from coronel_gdb.lift.compared import Comparison, Mismatch, compare
from coronel_gdb.lift.places import Places
from coronel_gdb.lift.trace import LiftedTrace, lift_trace
from coronel_gdb.profiles.trace import ReplayProfile, resolve_replay
from coronel_gdb.report import Absent, Report
from model.errors import ErrorKind
from model.fast.blocks import HeapHabits
from model.fast.machine import FastMachine
from model.layouts import HEAP_BLOCK
from model.refusals import MISUSE, Refusals, Refused, count_errors, mapped_free_frames
from model.replay import Divergence, Replayed, is_interleaved, is_refusal, replay
from model.touched import LastTouch
from model.trace import TraceRecord

_SHOWN = 8
_TOLD_RECORDS = 1 << 13
_PLURALS = {"process": "processes", "array of frame nodes": "arrays of frame nodes"}
_MISUSE_CODES = (TRACE_MISUSE.code, TRACE_FREE_MAPPED.code)


def run(context: Context, options: argparse.Namespace) -> Report:
    """Replay the trace of a kernel as its profile describes it."""
    profile = resolve_replay(context.named, context.target.kernel())
    return report(context, profile, minimize=options.minimize, as_fixed=options.as_fixed)


def report(context: Context, profile: ReplayProfile, *, minimize: bool, as_fixed: bool) -> Report:
    """Lift the trace, replay it when it is whole, else say what its rest proves."""
    trace = lift_trace(context.target, context.space, profile.trace)
    if trace.locked:
        return busy("replay", "trace")
    run = _Run(context, profile, trace, minimize=minimize, as_fixed=as_fixed)
    if trace.lost:
        add_window(run.report, trace, run.place)
        return run.report
    return run.whole()


class _Run:
    """One replay and its report."""

    def __init__(
        self, context: Context, profile: ReplayProfile, trace: LiftedTrace, *, minimize: bool, as_fixed: bool
    ) -> None:
        self.context = context
        self.profile = profile
        self.trace = trace
        self.minimize = minimize
        self.as_fixed = as_fixed
        self.habits = HeapHabits() if as_fixed else profile.habits()
        self.report = Report("replay", "")
        self.place = Places(context.target.kernel())
        held = f"{len(trace.records):,} of {trace.next:,} records, {trace.lost:,} lost"
        self.report.facts.append(("trace", f"{held} (capacity {trace.capacity:,})"))
        if trace.bad is not None:
            self.report.findings.append(bad_record_finding(trace.bad))
            why = f"record #{trace.bad.number} is damaged, and what follows it is not believed"
            self.report.not_checked.append(Absent(f"operations from #{trace.bad.number} on", why))

    # The whole trace.

    def whole(self) -> Report:
        """Replay from the boot on."""
        report, context = self.report, self.context
        try:
            boot = lift_boot(
                context.target, context.space, context.profile.frames, self.profile.boot, self.trace.capacity
            )
        except CoronelError as error:
            report.summary = "nothing replayed: the state after the boot is not known"
            report.not_checked.append(Absent("the trace's operations", str(error)))
            return report
        booted = FastMachine.of(boot.machine, self.habits)
        machine = booted.fresh()
        outcome = replay(machine, self._told())
        self._facts(boot, outcome)
        parted = outcome.divergence
        if parted is not None:
            self._divergence(parted, outcome, booted)
            if is_refusal(parted):
                machine = booted.fresh()
                outcome = replay(machine, self.trace.records, refused=parted.root)
        comparison = self._compare(boot, booted, machine, outcome, parted)
        if outcome.divergence is None:
            self._misuse(booted, machine, parted)
        add_user_side(report, machine, outcome, comparison, self.place)
        self._summary(outcome, parted, comparison)
        return report

    def _told(self) -> Iterator[TraceRecord]:
        """All records; whoever looks is told how far that is."""
        records = self.trace.records
        for start in range(0, len(records), _TOLD_RECORDS):
            self.context.progress(start, "records")
            yield from records[start : start + _TOLD_RECORDS]

    def _facts(self, boot: BootState, outcome: Replayed) -> None:
        report, records = self.report, self.trace.records
        habits = "docs/spec.md"
        if self.profile.quirks:
            names = ", ".join(quirk.id for quirk in self.profile.quirks)
            habits += (
                f" as fixed, without the known quirks {names}" if self.as_fixed else f" with quirks {names}"
            )
        report.facts += [
            (
                "boot state",
                f"from {boot.source}; placement, managers, nodes and directory lie where it puts them",
            ),
            ("model", habits),
            ("operations", f"{outcome.performed:,} replayed, {outcome.nested:,} nested ones compared"),
        ]
        if len({record.cpu for record in records}) > 1:
            report.facts.append(("CPUs", "operations of several CPUs, in the order in which they ended"))
        report.checked += outcome.performed + outcome.nested

    def _divergence(self, parted: Divergence, outcome: Replayed, booted: FastMachine) -> None:
        address = self.trace.address + parted.sequence % self.trace.capacity * 64
        agreed = outcome.performed - 1 + outcome.nested
        mixed = is_interleaved(self.trace.records, parted.root)
        found = divergence_finding(parted, address, agreed, self.place, interleaved=mixed)
        if mixed:
            # The model runs one operation after the other: it may be right to part from two at once.
            what = f"operations from #{parted.sequence} on"
            why = f"another CPU's operations lie among those of one; {found.lines[0]}"
            self.report.not_checked.append(Absent(what, why))
            return
        self.report.findings.append(found)
        if self.minimize:
            add_minimised(
                self.report,
                self.trace.records,
                parted,
                booted,
                self.place,
                self.profile,
                as_fixed=self.as_fixed,
            )

    def _compare(
        self,
        boot: BootState,
        booted: FastMachine,
        machine: FastMachine,
        outcome: Replayed,
        parted: Divergence | None,
    ) -> Comparison | None:
        why = self._why_not(machine, outcome)
        if why:
            self.report.not_checked.append(Absent("memory", why))
            return None
        fields = boot.machine.frames.fields
        comparison = compare(
            self.context.space,
            machine,
            boot.machine.heap.fields.address,
            fields.address,
            fields.get("nodes_"),
            processes=self._processes_at_rest(machine),
        )
        self.report.facts.append(("compared", _compared(comparison)))
        self.report.checked += sum(comparison.structures.values())
        self.report.not_checked += [
            Absent(f"{noun} at {address:#x}", reason)
            for noun, address, reason in comparison.unreadable[:_SHOWN]
        ]
        if len(comparison.unreadable) > _SHOWN:
            self.report.not_checked.append(
                Absent(f"{len(comparison.unreadable) - _SHOWN} more structures", "cannot be read either")
            )
        frees_count = not any(_counts_corruption(mismatch) for mismatch in comparison.mismatches)
        if parted is not None:
            self._fold_refusals(comparison)
        self._damage(comparison.mismatches, booted, machine, parted, frees_count=frees_count)
        return comparison

    def _why_not(self, machine: FastMachine, outcome: Replayed) -> str:
        """Why memory cannot be compared; empty when it can."""
        if self.trace.bad is not None:
            return f"the operations from #{self.trace.bad.number} on are not known"
        if outcome.divergence is not None:
            return f"kernel and model have gone apart since #{outcome.divergence.sequence}"
        if outcome.unfinished:
            return "an operation is under way: `finish` it and replay again"
        if machine.unsound:
            return f"the model cannot follow: {machine.unsound}"
        busy = [noun for noun in self._under_way() if noun != A_PROCESS]
        if busy:
            return f"{busy[0]}: an operation is under way, `finish` it and replay again"
        return ""

    def _under_way(self) -> tuple[str, ...]:
        return under_way(self.context.target, self.context.space, self.context.profile)

    def _processes_at_rest(self, machine: FastMachine) -> bool:
        """Whether the processes' objects can be compared; a row says why not."""
        why = ""
        if A_PROCESS in self._under_way():
            why = "a process is being changed: `finish` it and replay again"
        elif machine.processes.lost:
            why = "one of them was made or changed in a way that the model does not follow"
        if why:
            self.report.not_checked.append(Absent("the objects of processes", why))
        return not why

    def _damage(
        self,
        mismatches: list[Mismatch],
        booted: FastMachine,
        machine: FastMachine,
        parted: Divergence | None,
        *,
        frees_count: bool,
    ) -> None:
        """One finding a structure, headers with the time in which it must have happened."""
        shown = mismatches[:_SHOWN]
        damaged = tuple(mismatch.piece.address for mismatch in shown if mismatch.piece.layout is HEAP_BLOCK)
        refused = parted.root if parted is not None else None
        touch = LastTouch(damaged, frees_count=frees_count)
        if damaged:
            records = self.trace.records[: refused.sequence] if refused is not None else self.trace.records
            replay(booted.fresh(), records, watch=touch)
        self.report.findings += [
            damage_finding(mismatch, machine, self.trace.records, touch.last, refused, self.place)
            for mismatch in shown
        ]
        if len(mismatches) > _SHOWN:
            self.report.facts.append(("more", f"{len(mismatches) - _SHOWN} more structures differ"))

    def _misuse(self, booted: FastMachine, machine: FastMachine, parted: Divergence | None) -> None:
        """What kernel and model refused alike, and frames that are free and mapped."""
        records, counts = self.trace.records, count_errors(machine)
        found: list[Refused] = []
        if any(counts[kind] for kind in MISUSE):
            watch = Refusals()
            again = booted.fresh()
            replay(again, records, watch=watch, refused=parted.root if parted is not None else None)
            watch.finish(again)
            found = [refused for refused in watch.found if refused.kind in MISUSE]
        self.report.findings += [
            misuse_finding(refused, records[: refused.record.sequence], self.place)
            for refused in found[:_SHOWN]
        ]
        if len(found) > _SHOWN:
            self.report.facts.append(("misuse", f"{len(found) - _SHOWN} more refused operations"))
        self.report.findings += [
            free_mapped_finding(frame, entry, last_free(records, frame), self.place)
            for frame, entry in list(mapped_free_frames(machine).items())[:_SHOWN]
        ]

    def _fold_refusals(self, comparison: Comparison) -> None:
        """The kernel's count of refusals for corruption follows from the divergence: it is no damage."""
        for mismatch in list(comparison.mismatches):
            if _counts_corruption(mismatch) and len(mismatch.fields) == 1:
                comparison.mismatches.remove(mismatch)
                found, _ = mismatch.values(mismatch.fields[0])
                self.report.facts.append(
                    ("refused", f"the heap has refused {found:,} operations for corruption")
                )

    def _summary(self, outcome: Replayed, parted: Divergence | None, comparison: Comparison | None) -> None:
        report = self.report
        text = f"{outcome.performed:,} operations replayed"
        if parted is not None and is_interleaved(self.trace.records, parted.root):
            text += f"; from #{parted.sequence} on two CPUs are at work at once: not followed"
        elif parted is not None:
            text = first_divergence(parted, self.place)
        elif self.trace.bad is not None:
            text += f", all results agree up to the damaged record #{self.trace.bad.number}"
        elif comparison is None:
            text += ", all results agree, memory not compared"
        if comparison is not None:
            wrong = len(comparison.mismatches)
            if wrong:
                text += f"; {wrong} structure{'s' * (wrong != 1)} with bytes that no operation explains"
            elif parted is None:
                text += f", memory equal, {comparison.bytes_compared:,} bytes compared"
        misused = sum(finding.code in _MISUSE_CODES for finding in report.findings)
        if misused:
            text += f"; {misused} misuse{'s' * (misused != 1)} of an allocator"
        report.summary = text


def _counts_corruption(mismatch: Mismatch) -> bool:
    """Whether the heap counted refusals for corruption that the model did not: a `free` may be among them."""
    name = f"errors_[{int(ErrorKind.CORRUPTION_DETECTED)}]"
    return mismatch.piece.noun == "heap object" and any(field.name == name for field in mismatch.fields)


def _compared(comparison: Comparison) -> str:
    parts = ", ".join(
        f"{count:,} {noun if count == 1 else _PLURALS.get(noun, f'{noun}s')}"
        for noun, count in comparison.structures.items()
    )
    return f"{comparison.bytes_compared:,} bytes: {parts}"


COMMAND = Command(
    "replay",
    "Run the kernel's trace on the model and compare.",
    "Boots the model as the kernel was booted, replays every recorded operation and compares what each\n"
    "one returned, then headers, managers, nodes and page tables by their bytes. Says which operation is\n"
    "the first divergent one and who called it, or which bytes no operation explains and since when. A\n"
    "ring that lost records is examined for contradictions only. Exit code (in $coronel_exit): 0 equal,\n"
    "1 findings, 2 could not check.",
    "replay --minimize",
    (
        Option("--minimize", "shrink a diverging trace to the shortest one that still diverges"),
        Option("--as-fixed", "leave out the quirks that the profile knows of this kernel"),
    ),
    run,
)
