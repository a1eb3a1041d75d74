"""Invariants of processes (docs/spec.md §14): the list, each object, each space, the frames they hold."""

from collections.abc import Iterable, Sequence
from typing import Final

from model.address_space import (
    MMAP_END,
    MMAP_START,
    PROGRAM_END,
    PROGRAM_START,
    USER_HEAP_START,
    USER_STACK_END,
    USER_STACK_START,
)
from model.invariants.base import Invariant, Violation
from model.page_entry import ACCESSED, DIRTY
from model.paging import Mapping
from model.records import FrameUse, Process
from model.types import PAGE_BYTES, is_aligned

PID: Final = Invariant(
    "processes.pid", "pids ascend from 1 on along g_process_list", "§14.2: in order of pid, never reused"
)
END: Final = Invariant("processes.end", "the list ends with null, each process once", "§14.2")
STATE: Final = Invariant("processes.state", "state is 0 ready, 1 paused or 2 ended", "§14.2")
NAME: Final = Invariant("processes.name", "name ends with a zero", "§14.2: cut to 15 characters")
DIRECTORY: Final = Invariant(
    "processes.directory",
    "page_directory_ is a page, and no other process's",
    "§14: every process has an address space of its own",
)
LAYOUT: Final = Invariant(
    "processes.layout",
    "code and data lie in [0x400000, 0x8000000), the stack ends at 0x80000000 and has at most 8 MiB, "
    "mmap_ is [0x40000000, 0x70000000)",
    "§14.3–14.4",
)
WINDOW: Final = Invariant(
    "processes.window",
    "every page of the lower half lies in a window of its process: code, data, heap, mmap, stack",
    "§14.4: the null guard, the stack guard and what is reserved are never mapped",
)
RIGHTS: Final = Invariant(
    "processes.rights",
    "code is r-x, data, heap and stack are rw-, mmap is r-- or rw-, all with the user bit",
    "§14.4",
)
KERNEL_HALF: Final = Invariant(
    "processes.kernel_half", "PML4 entry 511 equals the kernel directory's", "§5.5: one kernel for all"
)
SHARED: Final = Invariant(
    "processes.shared", "no frame has two users", "§14.6: what one process gives back no other may hold"
)

ALL: Final = (PID, END, STATE, NAME, DIRECTORY, LAYOUT, WINDOW, RIGHTS, KERNEL_HALF, SHARED)

_STATES: Final = 3


def check_processes(processes: Sequence[Process], *, stop: int = 0) -> list[Violation]:
    """Judge the list: `processes` in its order, each once; `stop` is where following them ended, or 0."""
    violations = []
    seen: dict[int, int] = {}
    for index, process in enumerate(processes):
        before = processes[index - 1].pid if index else 0
        if process.pid <= before:
            because = f"the process before is {before}"
            violations.append(Violation(PID, process.address, "pid", process.pid, None, because))
        if process.state >= _STATES:
            violations.append(Violation(STATE, process.address, "state", process.state, None, ""))
        if process.name[-1:] != b"\0":
            violations.append(Violation(NAME, process.address, "name", process.name[-1], 0, "it is the last"))
        directory = process.page_directory
        if directory == 0 or not is_aligned(directory, PAGE_BYTES) or directory in seen:
            because = f"process {seen[directory]} has it" if directory in seen else "no page begins there"
            violations.append(
                Violation(DIRECTORY, process.address, "page_directory", directory, None, because)
            )
        seen.setdefault(directory, process.pid)
        violations += _check_layout(process)
    if stop:
        again = any(process.address == stop for process in processes)
        because = (
            "it is in the list already: the list is a cycle" if again else "no process can be read there"
        )
        subject = processes[-1].address if processes else stop
        violations.append(Violation(END, subject, "next", stop, None, because))
    return violations


def _check_layout(process: Process) -> list[Violation]:
    """The ranges that the object declares."""
    violations = []
    windows = (
        ("code", process.code, PROGRAM_START, PROGRAM_END),
        ("data", process.data, PROGRAM_START, PROGRAM_END),
        ("stack", process.stack, USER_STACK_START, USER_STACK_END),
        ("mmap", (process.mmap.start, process.mmap.end), MMAP_START, MMAP_END),
    )
    for name, (start, end), low, high in windows:
        whole = is_aligned(start, PAGE_BYTES) and is_aligned(end, PAGE_BYTES)
        inside = low <= start <= end <= high or (name == "data" and start == end == 0)
        fixed = (name != "stack" or end == high) and (name != "mmap" or (start, end) == (low, high))
        if not (whole and inside and fixed):
            because = f"{start:#x}..{end:#x} is not in {low:#x}..{high:#x}"
            violations.append(Violation(LAYOUT, process.address, name, start, None, because))
    return violations


def check_process_pages(
    process: Process, pages: Iterable[Mapping], entry: int, kernel_entry: int
) -> list[Violation]:
    """Judge a process's address space: its `pages` below 2**47, its PML4 entry 511 and the kernel's."""
    violations = []
    if (entry ^ kernel_entry) & ~(ACCESSED | DIRTY):
        because = "the kernel directory has it"
        violations.append(
            Violation(KERNEL_HALF, process.page_directory, "entry 511", entry, kernel_entry, because)
        )
    windows = (
        (process.code, {(False, True)}),
        (process.data, {(True, False)}),
        ((USER_HEAP_START, process.heap.heap_current), {(True, False)}),
        ((MMAP_START, MMAP_END), {(True, False), (False, False)}),
        (process.stack, {(True, False)}),
    )
    for page in pages:
        allowed = [rights for (start, end), rights in windows if start <= page.virtual < end]
        if not allowed or page.page_bytes != PAGE_BYTES:
            because = "nothing of its process is there" if not allowed else "it is a larger page"
            violations.append(Violation(WINDOW, page.virtual, "entry", page.entry, None, because))
        elif (page.rights.writable, page.rights.executable) not in allowed[0] or not page.rights.user:
            because = f"process {process.pid} may have other rights there"
            violations.append(Violation(RIGHTS, page.virtual, "entry", page.entry, None, because))
    return violations


def check_owners(uses: Iterable[FrameUse]) -> list[Violation]:
    """Judge who holds frames: `uses` are the pages and tables of processes, and the tables of the kernel."""
    violations = []
    owners: dict[int, str] = {}
    for use in uses:
        if use.frame in owners:
            because = f"{owners[use.frame]} has it, and {use.user}"
            violations.append(Violation(SHARED, use.frame, "frame", use.frame, None, because))
        owners.setdefault(use.frame, use.user)
    return violations
