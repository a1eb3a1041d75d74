"""What all other checks stand on: variables, locks, the frame manager's set-up, entries of page tables."""

from collections.abc import Iterator

from coronel_gdb.checks.foundations import foundation_findings
from coronel_gdb.commands.survey import Survey
from coronel_gdb.errors import CoronelError, KernelError
from coronel_gdb.lift.activity import A_PROCESS, lock_words
from coronel_gdb.lift.boot_map import read_boot_map, read_map
from coronel_gdb.lift.boot_variables import read_boot_variables
from coronel_gdb.report import Absent, Finding, Report
from model.address_space import DEVICE_BASE, DEVICE_END, STACK_END, STACK_START
from model.invariants import boot, frame_manager, locks, table_entries
from model.invariants.base import Violation
from model.page_entry import ENTRIES_PER_TABLE, Level
from model.spaces import Space, upper_differences
from model.types import PAGE_BYTES

_HELD = 1
_TABLES = "entries of the page tables"


def foundations_report(survey: Survey) -> Report:
    """All of it, each part as far as it can be read."""
    report = Report("memcheck", "")
    report.findings += boot_findings(survey, report)
    report.findings += lock_findings(survey, report)
    report.findings += manager_findings(survey, report)
    report.findings += entry_findings(survey, report)
    count = len(report.findings)
    agree = "variables, locks, memory map and page table entries agree"
    agree = agree if report.checked else "no locks, no memory map"
    report.summary = f"{count} finding{'s' * (count != 1)}" if count else agree
    return report


def boot_findings(survey: Survey, report: Report) -> list[Finding]:
    """Variables that the boot fixed, its memory map, and what the trace says of itself."""
    context = survey.context
    if not context.profile.specified:
        return []
    try:
        known = read_boot_variables(context.target, context.space, context.profile)
    except KernelError:
        return []  # another kernel: it has no such variables
    except CoronelError as error:
        report.not_checked.append(Absent("variables of the boot", str(error)))
        return []
    if known is None:
        report.not_checked.append(Absent("variables of the boot", "the kernel boots"))
        return []
    violations = boot.check_map(known.map, known.manager, known.end)
    if not violations:
        violations += boot.check_variables(known.map, known.variables, known.placed, known.end)
        if known.locked == _HELD:
            report.not_checked.append(Absent(boot.RING.formula, "busy: a record is being written"))
        else:
            violations += boot.check_ring(known.ring, known.placed, known.end)
            if known.ring.unread:
                report.not_checked.append(Absent(boot.RING.formula, "its records cannot be read"))
    if known.locked > _HELD:
        violations.append(locks.damaged(known.ring.address, known.ring.address, known.locked))
    violations += _device_violations(survey, report)
    report.checked += len(boot.ALL)
    return foundation_findings(violations)


def _device_violations(survey: Survey, report: Report) -> list[Violation]:
    """Where the next device goes, against the pages and tables of devices."""
    context = survey.context
    name = context.profile.image.get("next_device")
    variable = context.target.symbol(name) if name else None
    if variable is None or "page tables" in survey.changing:
        return []
    try:
        kernel = survey.spaces.kernel
        value = context.space.read_u64(variable)
    except CoronelError as error:
        report.not_checked.append(Absent(boot.NEXT_DEVICE.formula, str(error)))
        return []
    if any(bad.virtual + bad.level.span_bytes * ENTRIES_PER_TABLE > DEVICE_BASE for bad in kernel.bad):
        report.not_checked.append(Absent(boot.NEXT_DEVICE.formula, "a table of devices cannot be read"))
        return []
    mapped = max(
        (run.virtual + run.size_bytes for run in kernel.runs if run.virtual >= DEVICE_BASE), default=0
    )
    tables = [table for table in kernel.tables if table.level == Level.PTE and table.virtual >= DEVICE_BASE]
    tables_end = max((table.virtual + Level.PDE.span_bytes for table in tables), default=0)
    return boot.check_next_device(int(variable), value, mapped, min(tables_end, DEVICE_END))


def lock_findings(survey: Survey, report: Report) -> list[Finding]:
    """Words of locks that hold what no lock holds."""
    context = survey.context
    words = lock_words(context.target, context.space, context.profile)
    found = [(word.owner, word.word, word.value) for word in words if word.is_damaged]
    for process in survey.listed.processes:
        for owner, value in (
            (process.memory.heap.address, process.memory.heap.locked),
            (process.memory.mmap.address, process.memory.mmap.locked),
        ):
            found += [(owner, owner, value)] * (value > 1)
    report.checked += len(words) + 2 * len(survey.listed.processes)
    return foundation_findings(locks.damaged(*each) for each in found)


def manager_findings(survey: Survey, report: Report) -> list[Finding]:
    """What the boot fixed for good in the frame manager, against its copy of the memory map."""
    context = survey.context
    try:
        known = read_boot_map(context.target, context.space, context.profile)
    except KernelError:
        return []  # another kernel: it has no such map
    except CoronelError as error:
        report.not_checked.append(Absent("set-up of the frame manager", str(error)))
        return []
    report.checked += len(frame_manager.ALL)
    return foundation_findings(
        frame_manager.check_manager(
            known.manager,
            known.slots,
            known.range_count,
            (known.map.ram, known.map.reserved),
            known.placement,
            known.node_bytes,
        )
    )


def entry_findings(survey: Survey, report: Report) -> list[Finding]:
    """Entries of the kernel's tables, of those of all processes, and of the top table in CR3.

    Their form is that of docs/spec.md §5.2, which only a kernel built by it has.
    """
    if not survey.context.profile.specified:
        return []
    if not survey.stands_still(report, _TABLES, "page tables", A_PROCESS):
        return []
    try:
        spaces = survey.spaces
    except CoronelError as error:
        report.not_checked.append(Absent(_TABLES, str(error)))
        return []
    report.checked += len(table_entries.ALL) * sum(len(space.tables) for space in spaces.all)
    return foundation_findings(_broken_entries(survey))


def _broken_entries(survey: Survey) -> Iterator[Violation]:
    space, spaces = survey.context.space, survey.spaces
    end = _memory_end(survey)
    for walked in spaces.all:
        user = walked is not spaces.kernel
        yield from table_entries.check_entries(walked, space.table, user=user, ram_end=end)
    kernel = spaces.kernel.root
    image = list(_image_spans(survey))
    if not all(_is_mapped(spaces.kernel, start, end) for start, end in image):
        pages = (page for start, end in image for page in range(start, end, PAGE_BYTES))
        yield from table_entries.missing_entries(pages, survey.context.space_of(kernel).translate)
    for slot in upper_differences(space.table, space.root, kernel) or ():
        yield table_entries.top_entry(space.root, kernel, slot, space.table)


def _memory_end(survey: Survey) -> int | None:
    """Where RAM ends by the boot's memory map; None where that cannot be read."""
    context = survey.context
    try:
        known = read_map(context.target, context.space, context.profile)
    except CoronelError:
        return None
    return max((region.end for region in known.ram), default=None)


def _is_mapped(space: Space, start: int, end: int) -> bool:
    """Whether all of [start, end) is mapped; runs ascend."""
    at = start
    for run in space.runs:
        if run.virtual <= at < run.virtual + run.size_bytes:
            at = run.virtual + run.size_bytes
    return at >= end


def _image_spans(survey: Survey) -> Iterator[tuple[int, int]]:
    """Where code, constants, data and stack lie, by the symbols of the kernel's file."""
    image, symbol = survey.context.profile.image, survey.context.target.symbol
    for first, last in (
        ("text_start", "text_end"),
        ("rodata_start", "rodata_end"),
        ("data_start", "bss_end"),
    ):
        start, end = (symbol(image[role]) if role in image else None for role in (first, last))
        if start is not None and end is not None:
            yield int(start), int(end)
    yield STACK_START, STACK_END
