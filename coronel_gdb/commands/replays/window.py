"""What the last records of a ring prove by themselves, when those before them are lost."""

from coronel_gdb.checks.replay import PlaceOf, contradiction_finding
from coronel_gdb.lift.trace import LiftedTrace
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
            f"boot the kernel with trace={_enough(trace.next)} to keep every record",
        )
    )


def _enough(records: int) -> int:
    return 1 << min(20, records.bit_length())
