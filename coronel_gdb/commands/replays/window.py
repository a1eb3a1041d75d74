"""What the last records of a ring prove by themselves, when those before them are lost."""

from coronel_gdb.checks.replay import PlaceOf, contradiction_finding
from coronel_gdb.lift.trace import LARGEST_CAPACITY, LiftedTrace
from coronel_gdb.report import Absent, Report
from model.window import examine

_SHOWN = 8


def add_window(report: Report, trace: LiftedTrace, place: PlaceOf) -> None:
    """The beginning is lost: only contradictions among the records that are left can be found."""
    window = examine(trace.records)
    for found in window.contradictions[:_SHOWN]:
        address = trace.address + found.record.sequence % trace.capacity * 64
        report.findings.append(contradiction_finding(found, address, place))
    wrong = len(window.contradictions)
    verdict = f"{wrong} contradict the specification" if wrong else "none of them contradicts another"
    report.summary = (
        f"the first {trace.lost:,} records are lost; of the last {len(trace.records):,} {verdict}"
    )
    report.facts.append(
        (
            "proved",
            f"{window.proved:,} results: nothing is given twice, and the frame freed last comes first",
        )
    )
    report.checked = window.proved
    report.not_checked.append(
        Absent(
            "memory, and the results that depend on what is lost",
            _advice(trace.next),
        )
    )


def _advice(records: int) -> str:
    """How to keep every record next time (§12.2)."""
    if records >= LARGEST_CAPACITY:
        return f"no ring holds {records:,} records: stop the kernel earlier, with trace={LARGEST_CAPACITY}"
    return f"boot the kernel with trace={1 << records.bit_length()} to keep every record"
