"""A check: a rule of one kernel. The demo kernel notes the bugs that it commits on purpose: none is sound."""

import struct

from coronel_gdb.api import Check, Code, Finding, KernelError, Report, Survey, Watch

API_VERSION = 1
NOTED = Code("SEED001", "kernel noted a bug of its own", "g_seeded_fault.kind is not 0.")
_NOTE = struct.Struct("<II4Q")  # docs/spec.md §11.4: kind, line, victim, culprit, address, length


def run(survey: Survey) -> Report:
    """Read the note; a kernel without one cannot be asked."""
    context = survey.context
    place = context.target.symbol("g_seeded_fault")
    if place is None:
        raise KernelError("the kernel keeps no note of bugs: no symbol g_seeded_fault")
    kind, line, victim, culprit, address, length = _NOTE.unpack(context.space.read(place, _NOTE.size))
    report = Report("seeded", f"kind {kind}" if kind else "no bug is noted", checked=1)
    if kind:
        lines = (
            f"{length} bytes at {address:#x}, by the owner of {culprit:#x}",
            f"the faulty statement is in line {line}",
        )
        data = {"kind": kind, "line": line, "block": victim, "culprit": culprit, "address": address}
        watch = (Watch(address, 1),) if address else ()
        report.findings.append(Finding(NOTED.code, NOTED.title, address or place, lines, data, watch))
    return report


CHECKS = (Check("seeded bugs", (NOTED,), run),)
