"""`heapcheck`: every block of the kernel's and the processes' heaps against docs/spec.md §7 and §15.3."""

import argparse
from collections.abc import Sequence

from coronel_gdb.checks import catalogue
from coronel_gdb.checks.heap import heap_findings, quirk_fact, state_of
from coronel_gdb.checks.leaks import leak_findings, page_findings
from coronel_gdb.checks.listed import listed_findings
from coronel_gdb.checks.refused import refused_findings
from coronel_gdb.commands.command import Command, Context, Option, busy
from coronel_gdb.commands.heap_views import add_asked, coverage, obstacle, recount, unmapped
from coronel_gdb.commands.schemes.table import other_report
from coronel_gdb.commands.surroundings import surrounded
from coronel_gdb.commands.survey import Survey, value_of
from coronel_gdb.commands.unnamed import figure, note_unnamed
from coronel_gdb.errors import CoronelError, UsageError
from coronel_gdb.lift.activity import A_PROCESS, is_held
from coronel_gdb.lift.chronicle import Chronicle, Owned
from coronel_gdb.lift.heap import Discovery, LiftedHeap
from coronel_gdb.lift.image import joined
from coronel_gdb.lift.references import registers, roots, unreferenced
from coronel_gdb.lift.schemes import read_any_heap
from coronel_gdb.lift.space import AddressSpace
from coronel_gdb.lift.user_heap import NOT_KEPT, NUM_BLOCKS, lift_user_heap, read_user_heap
from coronel_gdb.report import Absent, Finding, Report
from model.invariants.heap import expansions_of
from model.records import Heap, HeapRules, Process, UserHeap
from model.types import PhysicalAddress

_RUNNING = 1  # of stopped, running, done
_MOST_LEAK_BYTES = 16 << 20  # word by word, that is a second or two


class _InHeap:
    """The chronicle of one heap: the kernel's, or that of the process with a directory."""

    def __init__(self, chronicle: Chronicle, directory: int | None = None) -> None:
        self._chronicle = chronicle
        self._directory = directory

    def of(self, pointer: int) -> Sequence[str]:
        return self._chronicle.history(pointer, self._directory)

    def formerly(self, start: int, end: int) -> Owned | None:
        return self._chronicle.formerly(start, end, self._directory)


def run(context: Context, options: argparse.Namespace) -> Report:
    """Lift the wanted heaps, judge them, and say what was looked at."""
    survey = Survey.of(context)
    if options.process is not None and (options.kernel or options.everywhere):
        raise UsageError("heapcheck: name one of --kernel, --process and --everywhere")
    if options.process is not None:
        _ = context.profile, context.space  # without a kernel no expression is worth a word
        pid = value_of(context, "heapcheck", options.process, "--process")
        process = next((p for p in survey.listed.processes if p.pid == pid), None)
        if process is None:
            pids = ", ".join(str(p.pid) for p in survey.listed.processes) or "none"
            raise UsageError(f"heapcheck: no process has pid {pid}; there are: {pids}")
        return user_report(survey, process, options)
    report = kernel_report(survey, options)
    if options.everywhere:
        if has_own_user_heap(context):
            _append(report, "user heap", own_user_report(survey, options))
        for process in survey.listed.processes:
            _append(report, f"process {process.pid}", user_report(survey, process, options))
        report.not_checked += survey.absent
    return report


def kernel_report(survey: Survey, options: argparse.Namespace | None = None) -> Report:
    """The kernel's heap."""
    other = other_report(survey, "heap", options)
    if other is not None:
        return other
    context = survey.context
    profile = context.profile.heap
    heap = read_any_heap(context.target, context.space, profile)
    if is_held(heap.locked):
        return busy("heapcheck", "kernel heap")
    lifted = survey.heap
    verdict = lifted.verdict(profile)
    chronicle = context.chronicle
    findings = heap_findings(lifted, verdict, profile, _InHeap(chronicle))
    findings = surrounded(survey, context.space, findings, recount(lifted, verdict, profile.rules))
    findings += refused_findings(
        "kernel heap", heap.address, heap.errors, catalogue.HEAP_REFUSED, chronicle.refused_blocks
    )
    report = Report("heapcheck", "", findings=findings, checked=verdict.evaluated)
    used = _used(lifted, profile.rules)
    where = f"{heap.heap_start:#x}..{heap.heap_end:#x}, {heap.heap_size:,} bytes"
    report.facts += [
        ("heap", f"{where}, {_expansions(heap, profile.rules)}"),
        ("blocks", f"{lifted.count} ({used} used, {lifted.count - used} free){_detours(lifted)}"),
        ("bytes", f"{figure(heap, 'total_allocated', ' used')}, {figure(heap, 'total_free', ' free')}"),
        ("operations", _operations(heap)),
        ("coverage", coverage(lifted, verdict.violations, profile.rules)),
    ]
    report.not_checked += [Absent(invariant.formula, why) for invariant, why in verdict.unchecked]
    report.not_checked += [
        Absent(f"heap memory {run.start:#x}..{run.end:#x}", run.reason)
        for run in joined(unmapped(lifted, profile.rules.header_bytes))
    ]
    report.facts += [quirk_fact(quirk, profile) for quirk in verdict.quirks]
    note_unnamed(report, profile.section, heap, verdict.unkept)
    _pages(survey, lifted, report)
    if options is not None:
        if options.leaks:
            findings += leaks(survey, lifted, report)
        add_asked(survey, lifted, report, options, profile)
    report.summary = _summary(report, lifted, "kernel heap")
    return report


def user_report(survey: Survey, process: Process, options: argparse.Namespace | None = None) -> Report:
    """The heap of one process, through its own tables."""
    heap = process.memory.heap
    noun = f"heap of process {process.pid} ({process.title or 'no name'})"
    if is_held(heap.locked) or A_PROCESS in survey.changing:
        return busy("heapcheck", noun)
    space = survey.context.space_of(PhysicalAddress(process.memory.page_directory))
    return _ring3_report(survey, heap, noun, space, options)


def own_user_report(survey: Survey, options: argparse.Namespace | None = None) -> Report:
    """The heap of ring 3 that no process owns, in the current space."""
    context = survey.context
    heap = read_user_heap(context.target, context.space, context.profile.user_heap)
    if is_held(heap.locked):
        return busy("heapcheck", "user heap")
    return _ring3_report(survey, heap, "user heap", context.space, options)


def _ring3_report(
    survey: Survey, heap: UserHeap, noun: str, space: AddressSpace, options: argparse.Namespace | None
) -> Report:
    context, profile = survey.context, survey.context.profile.ring3_heap
    user = lift_user_heap(space, heap, profile)
    lifted, verdict = user.lifted, user.verdict(profile)
    if lifted is None:
        report = Report("heapcheck", f"{noun} has no block yet", checked=verdict.evaluated)
        report.findings += listed_findings(verdict.violations, {NUM_BLOCKS: catalogue.COUNTER})
        report.facts.append(("heap", f"{heap.heap_start:#x}..{heap.heap_current:#x}"))
        return report
    history = _InHeap(context.chronicle, heap.page_directory)
    findings = heap_findings(lifted, verdict, profile, history, NOT_KEPT)
    findings = surrounded(survey, space, findings, recount(lifted, verdict, profile.rules))
    report = Report("heapcheck", "", findings=findings, checked=verdict.evaluated)
    limit = "" if "heap_limit" in heap.unkept else f", limit {heap.heap_limit:#x}"
    refused = "" if "errors" in heap.unkept else f"; {sum(heap.errors)} calls refused"
    used = _used(lifted, profile.rules)
    report.facts += [
        ("heap", f"{heap.heap_start:#x}..{heap.heap_current:#x}{limit}"),
        ("blocks", f"{lifted.count} ({used} used, {lifted.count - used} free){_detours(lifted)}"),
        ("bytes", f"{figure(heap, 'total_allocated', ' used')}{refused}"),
        ("coverage", coverage(lifted, verdict.violations, profile.rules)),
    ]
    report.not_checked += [Absent(invariant.formula, why) for invariant, why in verdict.unchecked]
    report.not_checked += [
        Absent(f"heap memory {run.start:#x}..{run.end:#x} of {noun.removeprefix('heap of ')}", run.reason)
        for run in joined(unmapped(lifted, profile.rules.header_bytes))
    ]
    note_unnamed(report, profile.section, heap, verdict.unkept)
    if options is not None:
        add_asked(survey, lifted, report, options, profile)
    report.summary = _summary(report, lifted, noun)
    return report


def leak_report(survey: Survey) -> Report:
    """References to the blocks of the kernel heap, and nothing else."""
    context = survey.context
    profile = context.profile.heap
    heap = read_any_heap(context.target, context.space, profile)
    if is_held(heap.locked):
        return busy("heapcheck", "kernel heap")
    report, lifted = Report("heapcheck", ""), survey.heap
    if lifted.sound and lifted.sound.used_bytes > _MOST_LEAK_BYTES:
        why = f"{lifted.sound.used_bytes >> 20:,} MiB are used; `heapcheck --leaks` takes its time"
        report.not_checked.append(Absent("references to blocks", why))
    else:
        report.findings += leaks(survey, lifted, report)
    report.summary = "some blocks are lost" if report.findings else "every used block is referred to"
    if report.not_checked:
        report.summary = "not looked at"
    return report


def leaks(survey: Survey, lifted: LiftedHeap, report: Report) -> list[Finding]:
    """Used blocks of the kernel heap that nothing refers to; what keeps that from being judged is noted."""
    context = survey.context
    lost_runs = [run for run in lifted.image.unreadable if run.lost]
    if lost_runs:
        why = f"heap memory at {lost_runs[0].start:#x} is not there: {lost_runs[0].reason}"
        report.not_checked.append(Absent("references to blocks", why))
        return []
    if not lifted.is_sound(context.profile.heap):
        report.not_checked.append(Absent("references to blocks", "the heap is damaged: blocks are uncertain"))
        return []
    try:
        blocks = list(lifted.all_blocks(context.profile.heap))
        if any(not block.is_free for block in blocks):
            # Without a CPU nobody knows what else refers to a block, and how much of the stack is old.
            context.target.register("rsp")
        memory = roots(
            context.target,
            context.space,
            context.profile,
            survey.spaces.kernel,
            survey.frames.manager,
            lifted.extents(context.profile.heap.rules),
        )
        header = context.profile.heap.rules.header_bytes
        lost = unreferenced(memory, registers(context.target), blocks, lifted.image, header)
        if lost and _another_cpu_runs(survey):
            why = "another CPU runs, whose registers may refer to blocks as well"
            report.not_checked.append(Absent("references to blocks", why))
            return []
    except CoronelError as error:
        report.not_checked.append(Absent("references to blocks", str(error)))
        return []
    report.checked += len(blocks)
    return leak_findings(lost, header)


def _another_cpu_runs(survey: Survey) -> bool:
    """Whether there is a CPU whose registers this target does not show."""
    context = survey.context
    name = context.profile.image.get("second_cpu")
    state = context.target.symbol(name) if name else None
    return state is not None and int.from_bytes(context.space.read(state, 4), "little") == _RUNNING


def _pages(survey: Survey, lifted: LiftedHeap, report: Report) -> None:
    """The rights of the heap's pages; without a kernel directory there is no space to judge."""
    try:
        kernel = survey.spaces.kernel
    except CoronelError as error:
        report.not_checked.append(Absent("rights of the heap's pages", str(error)))
        return
    rules = survey.context.profile.heap.rules
    regions = lifted.sound.regions if lifted.sound else lifted.extents(rules)
    report.findings += page_findings(regions, kernel)
    report.checked += len(regions)


def has_own_user_heap(context: Context) -> bool:
    """Whether the kernel has a heap for ring 3 that no process owns."""
    known = context.profile.user_heap
    return known is not None and bool(known.pointer)


def _append(report: Report, name: str, other: Report) -> None:
    """One more heap in the same report."""
    report.facts.append((name, other.summary))
    report.findings += other.findings
    report.tables += other.tables
    report.not_checked += other.not_checked
    report.checked += other.checked
    if other.findings and " is sound" in report.summary:
        report.summary = f"{len(other.findings)} findings in the {other.summary.partition(' in the ')[2]}"


def _summary(report: Report, lifted: LiftedHeap, noun: str) -> str:
    count = len(report.findings)
    if count:
        return f"{count} finding{'s' * (count != 1)} in {lifted.count} blocks of the {noun}"
    so_far = " as far as checked" if lifted.gaps else ""
    return f"{noun} is sound{so_far}: {lifted.count} blocks, {report.checked} invariants hold"


def _used(lifted: LiftedHeap, rules: HeapRules) -> int:
    if lifted.sound:
        return lifted.sound.used
    return sum(state_of(block, rules) == "used" for block in lifted.blocks)


def _expansions(heap: Heap, rules: HeapRules) -> str:
    count = expansions_of(heap, rules)
    if count is None:
        return "expansions not kept"
    derived = " by its size" if "num_expansions" in heap.unkept else ""
    return f"{count} expansions{derived}"


def _operations(heap: Heap) -> str:
    refused = "refusals not kept" if "errors" in heap.unkept else f"{sum(heap.errors)} refused"
    done = f"{figure(heap, 'num_allocations', ' allocations')}, {figure(heap, 'num_frees', ' frees')}"
    return f"{done}, {refused}"


def _detours(lifted: LiftedHeap) -> str:
    other = [how for how in lifted.found_by if how is not Discovery.LIST]
    return f"; {len(other)} reached past {obstacle(lifted)}, not by the list" if other else ""


COMMAND = Command(
    "heapcheck",
    "Check every block of a heap and name what is corrupt.",
    "Walks the block list, past damage where anything still leads on, and checks magic, state, size,\n"
    "links, tiling, counters and the rights of its pages. Never writes to the target. Exit code (in\n"
    "$coronel_exit): 0 sound, 1 findings, 2 could not check.",
    "heapcheck --everywhere --map",
    (
        Option("--kernel", "the kernel heap alone (this is the default)"),
        Option("--process", "the heap of this process, through its own page tables", "PID"),
        Option("--everywhere", "the kernel heap and that of every process"),
        Option("--block", "the block that this address lies in, with its neighbours and bytes", "ADDRESS"),
        Option("--blocks", "list all blocks"),
        Option("--stats", "blocks by size, and how scattered the free memory is"),
        Option("--map", "draw the heap"),
        Option("--leaks", "look for used blocks that nothing refers to"),
    ),
    run,
)
