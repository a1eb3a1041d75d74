"""`snapshot`: keep a stop in a file, and say what changed from one stop to another."""

import argparse
from collections.abc import Iterator
from pathlib import Path

from coronel_gdb.checks.catalogue import TRACE_UNEXPLAINED
from coronel_gdb.checks.replay import bad_record_finding
from coronel_gdb.commands.command import Command, Context, Option
from coronel_gdb.commands.stops.explained import Explained, explain
from coronel_gdb.commands.stops.operations import between, tables
from coronel_gdb.commands.stops.side import Side, kept_side, take
from coronel_gdb.commands.stops.structures import Change, Structures, changes, counted, table
from coronel_gdb.errors import UsageError
from coronel_gdb.lift.all_spaces import who
from coronel_gdb.lift.places import Places
from coronel_gdb.lift.stop_file import load, save
from coronel_gdb.lift.trace import LiftedTrace
from coronel_gdb.report import Absent, Finding, Report, Watch
from model.records import Process
from model.trace import Operation

_USAGE = "snapshot: `snapshot save FILE`, `snapshot diff FILE` or `snapshot diff FILE FILE`"
_SHOWN = 16
_OF_THE_TWIN = {
    "heap object",
    "frame manager",
    "region manager",
    "block header",
    "region node",
    "spare region node",
    "frame node",
    "page table",
}
"""What the replay judges byte by byte; the rest is judged by rules."""
_MAKES_OR_ENDS = (Operation.PROCESS_CREATE, Operation.PROCESS_DESTROY)


def run(context: Context, options: argparse.Namespace) -> Report:
    """Save, or compare."""
    files = [Path(name) for name in options.file]
    if options.action == "save" and len(files) == 1:
        return _save(context, files[0])
    if options.action == "diff" and len(files) in (1, 2):
        return _diff(context, files)
    raise UsageError(_USAGE)


def _save(context: Context, path: Path) -> Report:
    stop = take(context)
    size = save(path, stop)
    report = Report("snapshot", f"saved to {path}")
    kept = f"{stop.size_bytes:,} bytes of structures in {len(stop.runs):,} pieces"
    report.facts += [("kept", kept), ("file", f"{size:,} bytes")]
    return report


def _diff(context: Context, files: list[Path]) -> Report:
    stops = [load(path) for path in files]
    before = kept_side(stops[0], context, files[0].name)
    after = kept_side(stops[1], context, files[1].name) if len(stops) == 2 else Side(context, "now")
    return _Difference(before, after).report


class _Difference:
    """Two stops, and the report about what lies between them."""

    def __init__(self, before: Side, after: Side) -> None:
        self.before, self.after = before, after
        self.report = Report("snapshot", "")
        busy = after.busy()
        if busy:
            self.report.summary = f"{after.name}: busy, nothing compared"
            why = f"an operation is under way (lock of {busy} held); `finish` it and compare again"
            self.report.not_checked.append(Absent("changes", why))
            return
        self.place = Places(after.context.target.kernel())
        self.found = between(before.trace, after.trace)
        was, now = Structures(before), Structures(after)
        self.changed = list(changes(was, now))
        self.report.not_checked += [*was.absent, *now.absent]
        self._facts(now)
        self.report.tables += tables(self.found, self.place)
        trace = after.trace
        if isinstance(trace, LiftedTrace) and trace.bad is not None:
            self.report.findings.append(bad_record_finding(trace.bad))
        self._judge()

    def _facts(self, now: Structures) -> None:
        found, trace = self.found, self.after.trace
        if isinstance(trace, LiftedTrace):
            count = trace.next - found.first
            lost = f" ({found.unknown})" if found.unknown else ""
            self.report.facts.append(
                ("operations", f"{count:,} between: #{found.first} to #{trace.next}{lost}")
            )
        else:
            self.report.facts.append(("operations", f"not known: {trace}"))
        if self.changed:
            self.report.facts.append(("changed", counted(self.changed)))
        sizes = sum(map(len, now.found.values()))
        self.report.facts.append(("compared", f"{len(now.found):,} structures, {sizes:,} bytes"))
        self.report.checked = len(now.found)

    def _judge(self) -> None:
        report, found = self.report, self.found
        verdict = explain(self.before, self.after, found, self.place)
        report.facts += verdict.facts
        report.findings += verdict.findings
        report.not_checked += verdict.absent
        report.checked += verdict.checked
        if not verdict.why_not:
            rest = [change for change in self.changed if change.noun not in _OF_THE_TWIN]
            unexplained = [change for change in rest if not self._allowed(change)]
        elif found.nothing:
            unexplained = self.changed  # no operation can have done it
        else:
            unexplained = [change for change in self.changed if change.noun.startswith("variable ")]
            if self.changed or found.records:
                report.tables += [table(self.changed)] if self.changed else []
                report.not_checked.append(
                    Absent("whether the operations explain the changes", verdict.why_not)
                )
        report.findings += [_finding(change) for change in unexplained[:_SHOWN]]
        if len(unexplained) > _SHOWN:
            report.tables.append(table(unexplained))
        self._summary(verdict, unexplained)

    def _allowed(self, change: Change) -> bool:
        """Whether operations in between account for a structure that the twin does not know.

        Their own results are not replayed, so it is enough that one was about this process.
        """
        records = self.found.records
        if change.noun.startswith("variable "):
            return False
        made = any(record.operation in _MAKES_OR_ENDS for record in records)
        for process in self._processes():
            if change.noun.endswith(who(process)):
                root = process.memory.page_directory
                return made or any(root in (record.space, record.first) for record in records)
        return made

    def _processes(self) -> Iterator[Process]:
        for side in (self.after, self.before):
            yield from side.survey.listed.processes

    def _summary(self, verdict: Explained, unexplained: list[Change]) -> None:
        report, found = self.report, self.found
        count = len(found.records)
        operations = f"{count:,} operation{'s' * (count != 1)}"
        size = verdict.unexplained_bytes + sum(map(_bytes, unexplained))
        structures = verdict.structures + len(unexplained)
        if structures:
            where = f"{structures:,} structure{'s' * (structures != 1)}"
            text = f"{operations}, and {size:,} bytes in {where} that no operation explains"
        elif found.nothing and not self.changed:
            text = "nothing changed: no operation, and all structures are equal"
        elif not found.records and not self.changed:
            text = "all structures are equal; whether there were operations is not known"
        elif verdict.why_not:
            text = f"{operations} known, {len(self.changed):,} structures changed; not explained"
        else:
            text = f"{operations}, which explain every change"
        if any(finding.code != TRACE_UNEXPLAINED.code for finding in report.findings):
            text += "; the trace itself has findings"
        report.summary = text


def _bytes(change: Change) -> int:
    """How many bytes differ; of a structure that came or went, all of them."""
    if change.before is None or change.after is None:
        return len(change.after or change.before or b"")
    return sum(one != other for one, other in zip(change.before, change.after, strict=True))


def _finding(change: Change) -> Finding:
    code = TRACE_UNEXPLAINED
    lines = [f"{change.noun} {change.address:#x} is {change.kind}, and no operation did it"]
    lines += [f"{name:<8} was {old:#x}, is {new:#x}" for name, old, new in change.fields[:8]]
    if len(change.fields) > 8:
        lines.append(f"… and {len(change.fields) - 8} more fields")
    data = {
        "structure": change.noun,
        "change": change.kind,
        "fields": [{"field": name, "before": old, "now": new} for name, old, new in change.fields],
    }
    physical = change.noun == "page table"
    command = f"monitor xp /8gx {change.address:#x}" if physical else Watch(change.address & ~7, 8)
    return Finding(code.code, code.title, change.address, tuple(lines), data, (command,))


COMMAND = Command(
    "snapshot",
    "Keep a stop in a file, or say what changed since.",
    "`save FILE` keeps trace, managers, block headers, nodes, page tables and process objects (no data of\n"
    "blocks, no RAM besides); the target is only read, and a file that is no snapshot is never overwritten.\n"
    "`diff FILE` compares it with the target as it is now, `diff FILE FILE` two files: the operations in\n"
    "between, and the bytes that none of them explains. For that the run is replayed on the model up to\n"
    "both stops; where records are lost, the structures that changed are listed, and why nobody explains\n"
    "them. Exit code (in $coronel_exit): 0 all explained, 1 findings, 2 could not explain.",
    "snapshot diff before.snapshot",
    (
        Option("action", "what to do", "save|diff"),
        Option("file", "where the stop is kept, or the two to compare", "FILE", True),
    ),
    run,
)
