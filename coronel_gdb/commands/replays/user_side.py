"""What a replay cannot judge of processes: their own heaps, once they have written over the headers.

A header of such a heap lies in the process's own pages. So a call that does otherwise than intact headers
say, and a header that is not what the calls left, are no fault of the kernel; they are said, and not counted
as checked. Everything else of a process is the kernel's: its object, nodes, tables and rights.
"""

from coronel_gdb.checks.replay import PlaceOf
from coronel_gdb.lift.compared import Comparison
from coronel_gdb.report import Absent, Report
from model.fast.machine import FastMachine
from model.fast.process import Doubt
from model.replay import Replayed
from model.trace import call, called

_SHOWN = 8


def add_user_side(
    report: Report, machine: FastMachine, outcome: Replayed, comparison: Comparison | None, place: PlaceOf
) -> None:
    """One row for each process whose heap cannot be followed, one for calls that were not judged."""
    doubts = machine.processes.doubts
    for doubt in doubts[:_SHOWN]:
        report.not_checked.append(Absent(f"heap of process {doubt.pid}", _why(doubt, place)))
    if len(doubts) > _SHOWN:
        report.not_checked.append(Absent(f"heaps of {len(doubts) - _SHOWN} more processes", "likewise"))
    if outcome.unknown:
        counts = sorted(outcome.unknown.items())
        parts = ", ".join(f"{count:,} {call(number, ()).removesuffix('()')}" for number, count in counts)
        why = "what they called was replayed instead"
        report.not_checked.append(Absent(f"results of {parts}", why))
    overwritten = comparison.overwritten if comparison is not None else {}
    for pid, count in list(overwritten.items())[:_SHOWN]:
        why = (
            f"{count} header{'s are' if count != 1 else ' is'} not what its calls left; "
            f"a process can write its own heap (`heapcheck --process {pid}`)"
        )
        report.not_checked.append(Absent(f"heap of process {pid}", why))


def _why(doubt: Doubt, place: PlaceOf) -> str:
    record = doubt.record
    given = f"gave {record.result:#x}"
    if doubt.expected is not None:
        wanted = f"with the headers that its calls left it gives {doubt.expected:#x}"
    elif record.result:
        wanted = "with the headers that its calls left it would take other pages"
    else:
        wanted = "with the headers that its calls left it maps pages or finds a block"
    return (
        f"since #{record.sequence} {called(record)}, called from {place(record)}: it {given}, "
        f"{wanted}; a process can write its own headers, so nobody knows"
    )
