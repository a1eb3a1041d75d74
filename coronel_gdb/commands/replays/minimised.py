"""The shortest part of a trace that still diverges, as a table."""

from collections.abc import Sequence

from coronel_gdb.checks.replay import PlaceOf
from coronel_gdb.profiles.trace import ReplayProfile
from coronel_gdb.report import Report, Table
from model.fast.machine import FastMachine
from model.minimised import Minimised, minimise_models, minimise_recorded
from model.replay import Divergence, replay
from model.trace import TraceRecord, call


def add_minimised(
    report: Report,
    records: Sequence[TraceRecord],
    parted: Divergence,
    booted: FastMachine,
    place: PlaceOf,
    profile: ReplayProfile,
    *,
    as_fixed: bool,
) -> None:
    """Search it and add its table; processes are made of what they called."""
    performed: list[TraceRecord] = []
    replay(booted.fresh(), records, watch=lambda _, record: performed.append(record), processes=False)
    if not performed or performed[-1] != parted.root:
        report.facts.append(("minimized", "not possible: the operation is replayed by its parts only"))
        return
    quirky = profile.habits()
    known = as_fixed and profile.quirks and _explains(records, parted, booted.fresh(quirky))
    if known:
        found = minimise_models(performed, booted.fresh, lambda: booted.fresh(quirky))
    else:
        found = minimise_recorded(performed, parted, booted.fresh)
    against = (
        "the models as it is and as fixed disagree" if known else "the kernel's result is not the model's"
    )
    more = ", perhaps not the shortest: the search was cut off" if found.exhausted else ""
    report.facts.append(
        ("minimized", f"{len(found.steps):,} of {found.of:,} operations, after which {against}{more}")
    )
    report.tables.append(_table(found, place))


def _explains(records: Sequence[TraceRecord], parted: Divergence, machine: FastMachine) -> bool:
    """Whether the model with the known quirks agrees where the fixed one does not."""
    outcome = replay(machine, records)
    return outcome.divergence is None or outcome.divergence.sequence > parted.sequence


def _table(found: Minimised, place: PlaceOf) -> Table:
    rows = [
        (
            done.record.sequence,
            call(done.record.operation, done.arguments),
            done.record.result,
            done.result,
            place(done.record),
        )
        for done in found.steps
    ]
    columns = ("record", "operation", "kernel", "model", "called from")
    return Table("shortest trace", columns, rows, frozenset({"kernel", "model"}))
