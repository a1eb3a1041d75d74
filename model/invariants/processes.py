"""Invariants of the list of processes and of what each says it has (docs/spec.md §14)."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from model.address_space import (
    MMAP_END,
    MMAP_START,
    PROGRAM_END,
    PROGRAM_START,
    USER_HEAP_LIMIT,
    USER_HEAP_START,
    USER_STACK_END,
    USER_STACK_START,
)
from model.invariants.base import Invariant, Violation
from model.page_entry import ENTRIES_PER_TABLE, Rights
from model.paging import FaultReason
from model.records import Process, Region
from model.spaces import Space
from model.types import PAGE_BYTES, align_up, is_aligned

_LAST_STATE: Final = 2

LIST: Final = Invariant("process.list", "the list ends with null, each process once", "§14.2")
ORDER: Final = Invariant(
    "process.pid", "pids ascend from 1 on along g_process_list", "§14.2: in order of pid, never reused"
)
STATE: Final = Invariant("process.state", "state is 0, 1 or 2", "§14.2: ready, paused, ended")
NAME: Final = Invariant("process.name", "name ends with a zero", "§14.2: cut to 15 characters")
DIRECTORY: Final = Invariant(
    "process.directory",
    "heap_.page_directory_ = page_directory_, a frame that no other process has there",
    "§14.3, §15.3: one address space",
)
RANGES: Final = Invariant(
    "process.ranges",
    "code and data lie in [0x400000, 0x8000000), the heap in [0x8000000, 0x40000000), mmap_ is "
    "[0x40000000, 0x70000000), the stack ends at 0x80000000 and has at most 8 MiB; all in whole pages",
    "§14.3–14.4: the address space of a process",
)
PAGE_PLACE: Final = Invariant(
    "process.page_place",
    "a page lies in code, data, heap, taken mmap or stack, and has 4 KiB",
    "§14.4: all else is never mapped",
)
PAGE_RIGHTS: Final = Invariant(
    "process.page_rights", "code r-x, all else rw- or (mmap) r--, with the user bit", "§14.4"
)
PAGE_MISSING: Final = Invariant(
    "process.page_missing",
    "every page of code, data, heap, taken mmap and stack is mapped",
    "§14.3, §15.3, §15.5",
)

LISTED: Final = Invariant(
    "process.listed", "every process that the heap holds is in the list", "§14.2: until its end"
)

PER_LIST: Final = (LIST, LISTED)
PER_PROCESS: Final = (ORDER, STATE, NAME, DIRECTORY, RANGES, PAGE_PLACE, PAGE_RIGHTS, PAGE_MISSING)
ALL: Final = (*PER_LIST, *PER_PROCESS)


@dataclass(frozen=True, slots=True)
class Area:
    """[start, end) of a process and what it is; `writable` is None where both are right.

    `says` are the addresses of the structures that say where it begins and ends.
    """

    name: str
    start: int
    end: int
    writable: bool | None
    executable: bool = False
    says: tuple[int, ...] = ()


def check_list(processes: Sequence[Process], variable: int, *, stop: int) -> list[Violation]:
    """Judge the list that begins with the pointer `variable`; following it ended at `stop`, 0 for null."""
    violations = []
    if stop:
        last = processes[-1].address if processes else variable
        again = any(process.address == stop for process in processes)
        because = (
            "it is in the list already: the list is a cycle" if again else "no process can be read there"
        )
        violations.append(Violation(LIST, last, "next", stop, None, because))
    violations += _disordered(processes)
    directories: dict[int, int] = {}
    for process in processes:
        directory = process.memory.page_directory
        if directory in directories:
            because = f"process {directories[directory]} has it"
            violations.append(
                Violation(DIRECTORY, process.address, "page_directory_", directory, None, because)
            )
        directories.setdefault(directory, process.pid)
    return violations


def _disordered(processes: Sequence[Process]) -> Iterator[Violation]:
    """Pids that do not ascend: the one without which they would, or both where that is not decided."""
    pids = [0, *(process.pid for process in processes)]
    for index in range(1, len(pids)):
        before, pid = pids[index - 1 : index + 1]
        if pid > before:
            continue
        without_this = index + 1 == len(pids) or pids[index + 1] > before
        without_before = index > 1 and pid > pids[index - 2]
        if without_this or not without_before:
            because = f"the process before has pid {before}"
            yield Violation(ORDER, processes[index - 1].address, "pid", pid, None, because)
        if index > 1 and (without_before or not without_this):
            because = f"the process behind it has pid {pid}"
            yield Violation(ORDER, processes[index - 2].address, "pid", before, None, because)


def check_listed(
    processes: Sequence[Process], head: tuple[int, int], found: Iterable[tuple[int, int]]
) -> list[Violation]:
    """Judge that nothing is left out: `found` are address and pid of processes that the list does not have.

    The subject is what should lead there: the process before it by pid, or `head`, a variable and its value.
    """
    violations = []
    for address, pid in found:
        before = max((p for p in processes if p.pid < pid), key=lambda p: p.pid, default=None)
        subject, value = (before.address, before.next) if before else head
        because = f"the heap holds process {pid} at {address:#x}, which the list leaves out"
        violations.append(Violation(LISTED, subject, "next", value, address, because))
    return violations


def check_fields(process: Process) -> list[Violation]:
    """Judge what the process says of itself."""
    memory, heap, mmap = process.memory, process.memory.heap, process.memory.mmap
    violations = []
    if process.state > _LAST_STATE:
        violations.append(Violation(STATE, process.address, "state", process.state, None, ""))
    if process.name[-1:] != b"\0":
        violations.append(
            Violation(NAME, process.address, "name", process.name[-1], 0, "it is the last byte")
        )
    if heap.page_directory != memory.page_directory or not is_aligned(memory.page_directory, PAGE_BYTES):
        violations.append(
            Violation(
                DIRECTORY,
                process.address,
                "heap_.page_directory_",
                heap.page_directory,
                memory.page_directory,
                "page_directory_ of the process",
            )
        )
    for name, low, start, end, high in (
        ("code", PROGRAM_START, memory.code_start, memory.code_end, PROGRAM_END),
        ("data", PROGRAM_START, memory.data_start, memory.data_end, PROGRAM_END),
        ("stack", USER_STACK_START, memory.stack_start, memory.stack_end, USER_STACK_END),
        ("heap", USER_HEAP_START, heap.heap_start, heap.heap_current, heap.heap_limit),
        ("heap limit", USER_HEAP_START, USER_HEAP_START, heap.heap_limit, USER_HEAP_LIMIT),
        ("mmap", MMAP_START, mmap.start, mmap.end, MMAP_END),
    ):
        whole = is_aligned(start, PAGE_BYTES) and is_aligned(end, PAGE_BYTES)
        fixed = (name != "stack" or end == high) and (name != "mmap" or (start, end) == (low, high))
        if start != end and not (whole and fixed and low <= start <= end <= high):
            because = f"[{start:#x}, {end:#x}) is not inside [{low:#x}, {high:#x}), or not as it must be"
            violations.append(Violation(RANGES, process.address, name, start, None, because))
    return violations


def areas(process: Process, free_mmap: Iterable[Region]) -> list[Area]:
    """What the process says is mapped, whole pages in ascending order."""
    memory, heap, mmap = process.memory, process.memory.heap, process.memory.mmap
    found = [
        Area(
            "code", memory.code_start, align_up(memory.code_end, PAGE_BYTES), writable=False, executable=True
        ),
        Area("data", memory.data_start, align_up(memory.data_end, PAGE_BYTES), writable=True),
        Area("heap", USER_HEAP_START, heap.heap_current, writable=True),
        Area("stack", memory.stack_start, memory.stack_end, writable=True),
    ]
    found = [replace(area, says=(int(process.address),)) for area in found]
    at, before = int(mmap.start), int(mmap.address)
    for region in free_mmap:
        found.append(Area("mmap", at, region.start, writable=None, says=(before, int(region.node))))
        at, before = max(at, region.start + region.size_bytes), int(region.node)
    found.append(Area("mmap", at, mmap.end, writable=None, says=(before, int(mmap.address))))
    return sorted((area for area in found if area.start < area.end), key=lambda area: area.start)


def check_pages(space: Space, said: Sequence[Area]) -> list[Violation]:
    """Judge the lower half of a process's tables against the areas that it says it has.

    Where an area has no page at its border, what says where that is may be wrong as well. None is missing
    where a table cannot be read.
    """
    violations = []
    reached = [area.start for area in said]
    for run in space.runs:
        if run.virtual >> 63:
            continue
        at, end = int(run.virtual), run.virtual + run.size_bytes
        if run.page_bytes != PAGE_BYTES:
            because = f"a page of {run.page_bytes:#x} bytes"
            violations.append(Violation(PAGE_PLACE, at, "entry", run.entry, None, because))
        for number, area in enumerate(said):
            start, stop = max(at, area.start), min(end, area.end)
            if start >= stop:
                continue
            if start > at:
                violations.append(_misplaced(at, start, run.entry))
            at = stop
            if start > reached[number]:
                violations.append(_missing(area, reached[number], start))
            reached[number] = stop
            if not _allowed(run.rights, area):
                because = f"it is {area.name}, [{area.start:#x}, {area.end:#x})"
                violations.append(Violation(PAGE_RIGHTS, start, "entry", run.entry, None, because))
        if at < end:
            violations.append(_misplaced(at, end, run.entry))
    for number, area in enumerate(said):
        if reached[number] < area.end:
            violations.append(_missing(area, reached[number], area.end))
    violations = [found for found in violations if not _may_be_there(found, space)]
    return violations + list(_too_long(violations, said))


def _may_be_there(violation: Violation, space: Space) -> bool:
    """Whether pages are missing where a table cannot be read."""
    return violation.invariant is PAGE_MISSING and any(
        bad.reason is FaultReason.UNREADABLE
        and bad.virtual < violation.found
        and violation.subject < bad.virtual + ENTRIES_PER_TABLE * bad.level.span_bytes
        for bad in space.bad
    )


def _too_long(violations: Sequence[Violation], said: Sequence[Area]) -> Iterator[Violation]:
    """Where pages are missing at the border of an area: what says how far it goes may be wrong."""
    for missing in [each for each in violations if each.invariant is PAGE_MISSING]:
        because = f"or {missing.field} does not reach from there up to {missing.found:#x}"
        for area in said:
            if area.name == missing.field and {area.start, area.end} & {missing.subject, missing.found}:
                for structure in dict.fromkeys(area.says):
                    yield Violation(PAGE_MISSING, structure, area.name, missing.subject, None, because)


def _missing(area: Area, start: int, end: int) -> Violation:
    pages = (end - start) // PAGE_BYTES
    because = f"{pages} pages from there, of [{area.start:#x}, {area.end:#x}), are not mapped"
    return Violation(PAGE_MISSING, start, area.name, end, None, because)


def _misplaced(start: int, end: int, entry: int) -> Violation:
    because = f"[{start:#x}, {end:#x}) is neither code nor data, heap, taken mmap or stack"
    return Violation(PAGE_PLACE, start, "entry", entry, None, because)


def _allowed(rights: Rights, area: Area) -> bool:
    writable = area.writable is None or rights.writable == area.writable
    return rights.user and writable and rights.executable == area.executable
