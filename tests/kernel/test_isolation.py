"""Two processes that are alive at once: their address spaces, judged by the tool and by QEMU's own walk."""

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from lab.programs import modules
from lab.stopped import BOOT_SECONDS, Stopped, at_checkpoint

PAGE = 4096
KERNEL_HALF = 1 << 63

# docs/spec.md 14.4, right after `pause` has taken one block and one page.
CODE, DATA = 0x40_0000, 0x40_1000
HEAP = range(0x800_0000, 0x801_0000, PAGE)
MMAP = 0x4000_0000
STACK = range(0x7FFF_0000, 0x8000_0000, PAGE)
USER_PAGES = {
    CODE: "r-x user",
    DATA: "rw- user",
    **dict.fromkeys(HEAP, "rw- user"),
    MMAP: "rw- user",
    **dict.fromkeys(STACK, "rw- user"),
}
NAMES = (b"alpha", b"beta")

Pages = dict[int, tuple[int, str]]


@dataclass(frozen=True)
class Two:
    stopped: Stopped
    directories: tuple[int, int]


@pytest.fixture(scope="module")
def two() -> Iterator[Two]:
    """The kernel at the checkpoint where both processes are paused; only read."""
    lines = modules(["pause alpha", "pause beta"])
    with at_checkpoint(1, "scenario=processes", extra=lines) as stopped:
        first, second = (
            stopped.gdb.evaluate(f"{where}->memory.page_directory_")
            for where in ("g_process_list", "g_process_list->next")
        )
        yield Two(stopped, (first, second))


def pages_of(stopped: Stopped, directory: int) -> Pages:
    """Virtual page → physical page and rights, by the project's own command."""
    pages: Pages = {}
    for row in stopped.report(f"pagewalk --cr3 {directory:#x}", 0)["tables"][0]["rows"]:
        for offset in range(0, row["end"] - row["start"], PAGE):
            pages[row["start"] + offset] = (row["physical"] + offset, row["rights"])
    return pages


def user_half(pages: Pages) -> Pages:
    return {page: what for page, what in pages.items() if page < KERNEL_HALF}


def kernel_half(pages: Pages) -> Pages:
    return {page: what for page, what in pages.items() if page >= KERNEL_HALF}


def frames(pages: Pages) -> set[int]:
    return {physical for physical, _ in pages.values()}


def physical_bytes(stopped: Stopped, address: int, size: int) -> bytes:
    words = re.findall(r"0x([0-9a-f]{2})\b", stopped.machine.monitor(f"xp /{size}bx {address:#x}"))
    return bytes(int(word, 16) for word in words)


def info_tlb(stopped: Stopped) -> Pages:
    """The active address space by QEMU's own walk."""
    pages: Pages = {}
    for line in stopped.machine.monitor("info tlb").splitlines():
        found = re.match(r"([0-9a-f]{16}): ([0-9a-f]{16}) ([XGPDACTUW-]{9})$", line.strip())
        assert found, line
        flags = found[3]
        rights = (
            f"r{'w' if 'W' in flags else '-'}{'-' if 'X' in flags else 'x'}"
            f" {'user' if 'U' in flags else 'kernel'}"
        )
        pages[int(found[1], 16)] = (int(found[2], 16), rights)
    return pages


def test_both_are_paused_and_have_spaces_of_their_own(two: Two) -> None:
    evaluate = two.stopped.gdb.evaluate
    assert evaluate("g_process_list->pid") == 1
    assert evaluate("g_process_list->next->pid") == 2
    assert evaluate("g_process_list->next->next") == 0
    assert evaluate("g_process_list->state == coronel::process_state::paused") == 1
    kernel = evaluate("paging::kernel_directory_")
    assert len({*two.directories, kernel}) == 3


@pytest.mark.parametrize("index", [0, 1])
def test_the_lower_half_is_that_of_the_specification(two: Two, index: int) -> None:
    pages = user_half(pages_of(two.stopped, two.directories[index]))
    assert {page: rights for page, (_, rights) in pages.items()} == USER_PAGES


@pytest.mark.parametrize("index", [0, 1])
def test_the_upper_half_is_the_kernels_and_only_the_kernels(two: Two, index: int) -> None:
    kernel = pages_of(two.stopped, two.stopped.gdb.evaluate("paging::kernel_directory_"))
    assert user_half(kernel) == {}
    upper = kernel_half(pages_of(two.stopped, two.directories[index]))
    assert upper == kernel
    assert {rights.split()[1] for _, rights in upper.values()} == {"kernel"}


def test_no_frame_is_in_two_processes_or_in_the_kernel(two: Two) -> None:
    first, second = (user_half(pages_of(two.stopped, directory)) for directory in two.directories)
    kernel = kernel_half(pages_of(two.stopped, two.directories[0]))
    assert len(frames(first)) == len(first) == len(USER_PAGES)
    assert frames(first) & frames(second) == set()
    assert (frames(first) | frames(second)) & frames(kernel) == set()


def test_the_same_addresses_hold_something_else_in_each(two: Two) -> None:
    for directory, name in zip(two.directories, NAMES, strict=True):
        pages = pages_of(two.stopped, directory)
        assert physical_bytes(two.stopped, pages[MMAP][0], PAGE) == name[:1] * PAGE
        assert physical_bytes(two.stopped, pages[HEAP.start][0] + 48, 100) == name[:1] * 100
        assert name + b"\0" in physical_bytes(two.stopped, pages[DATA][0], 256)
        top = physical_bytes(two.stopped, pages[STACK[-1]][0] + PAGE - 128, 128)
        assert top.startswith(name + b"\0")


def test_the_user_heap_is_as_the_allocator_says(two: Two) -> None:
    evaluate = two.stopped.gdb.evaluate
    heap = "g_process_list->memory.heap_"
    assert evaluate(f"{heap}.heap_start_") == evaluate(f"{heap}.first_block_") == HEAP.start
    assert evaluate(f"{heap}.heap_current_") == HEAP.stop
    assert evaluate(f"{heap}.num_blocks_") == 2
    assert evaluate(f"{heap}.total_allocated_") == 112
    pages = pages_of(two.stopped, two.directories[0])
    header = physical_bytes(two.stopped, pages[HEAP.start][0], 48)
    fields = [int.from_bytes(header[at : at + 8], "little") for at in (0, 16, 24, 32)]
    assert fields == [112, HEAP.start + 48 + 112, 0, 0xFEED_FACE_DEAD_C0DE]
    assert header[8] == 0


def test_the_trace_knows_the_system_calls_and_what_they_did(two: Two) -> None:
    """docs/spec.md 12: operation, depth, result and address space of the newest records."""
    evaluate = two.stopped.gdb.evaluate
    ring, count = evaluate("g_trace.ring_"), evaluate("g_trace.next_")
    assert 0 < count <= evaluate("g_trace.capacity_")
    (block,) = two.stopped.gdb.mi(f"-data-read-memory-bytes {ring:#x} {64 * count}")["memory"]
    records = list(struct.iter_unpack("<QIHHQQQQQQ", bytes.fromhex(block["contents"])))
    assert [record[0] for record in records] == list(range(count))
    calls = [(record[1], record[3], *record[4:8], record[9]) for record in records if record[1] in (16, 21)]
    assert calls == [
        call
        for directory in two.directories
        for call in (
            (16, 0, 100, 0, 0, HEAP.start + 48, directory),
            (21, 0, 0, PAGE, 3, MMAP, directory),
        )
    ]
    created = [record[4] for record in records if record[1] == 14]
    assert created == [1, 2]


def test_the_kernel_with_processes_gives_no_finding(two: Two) -> None:
    for command in (
        "heapcheck",
        "frames",
        "pagewalk --audit --every-process",
        "pagewalk --audit --process 2",
    ):
        assert two.stopped.report(command, 0)["findings"] == []


def test_qemus_walk_agrees_while_each_process_runs_and_all_comes_back() -> None:
    """From inside a system call of each process; then to the end, with nothing left of them."""
    lines = modules(["pause alpha", "pause beta"])
    with at_checkpoint(1, "scenario=mixed,processes,boot seed=42 ops=2000", extra=lines) as stopped:
        gdb = stopped.gdb
        before = accounts(stopped)
        gdb.run_to("coronel_checkpoint", BOOT_SECONDS)
        seen = set()
        for _ in range(12):
            gdb.run_to("sys_write", BOOT_SECONDS)
            directory = gdb.evaluate("caller->memory.page_directory_")
            assert gdb.evaluate("$cr3") == directory
            if directory in seen:
                continue
            seen.add(directory)
            pages = pages_of(stopped, directory)
            assert info_tlb(stopped) == pages
            for page in [*user_half(pages), *EDGES]:
                answer = stopped.machine.monitor(f"gva2gpa {page:#x}").strip()
                assert answer == (f"gpa: {pages[page][0]:#x}" if page in pages else "Unmapped"), hex(page)
        assert len(seen) == 2

        for _ in range(2):
            gdb.run_to("coronel_checkpoint", BOOT_SECONDS)
        assert gdb.evaluate("g_process_list") == 0
        assert gdb.evaluate("$cr3") == gdb.evaluate("paging::kernel_directory_")
        assert accounts(stopped) == before
        assert user_half(info_tlb(stopped)) == {}


EDGES = [0, 0x3F_F000, 0x40_2000, 0x801_0000, 0x4000_1000, 0x7F7F_F000, 0x7FFE_F000, 0x8000_0000]
"""Pages beside those that are mapped."""


def accounts(stopped: Stopped) -> dict[str, object]:
    """What the frame allocator and the kernel heap hold, by their own count and block by block."""
    heap = stopped.report("heapcheck", 0)
    return {
        "frames": stopped.gdb.evaluate("g_physical_manager->free_count_"),
        "allocated": stopped.gdb.evaluate("g_kernel_heap->total_allocated_"),
        "free": stopped.gdb.evaluate("g_kernel_heap->total_free_"),
        "size": stopped.gdb.evaluate("g_kernel_heap->heap_size_"),
        "blocks": heap["facts"]["blocks"],
        "frames listed": stopped.report("frames", 0)["facts"]["free"],
    }


@pytest.mark.parametrize("frames_left", [0, 1, 3, 19, 20, 22, 23])
def test_a_process_for_which_memory_does_not_suffice_leaves_nothing(frames_left: int) -> None:
    """24 frames it needs: 6 tables, 16 for the stack, 2 for the program; one less in each place."""
    lines = modules(["leave", "leave"])
    heap_needs = 17
    with at_checkpoint(1, "scenario=boot,processes", extra=lines) as stopped:
        gdb = stopped.gdb
        gdb.run("set $node = g_physical_manager->free_list_")
        for _ in range(heap_needs + frames_left - 1):
            gdb.run("set $node = $node->previous")
        gdb.run("set var $node->previous = 0")
        gdb.run(f"set var g_physical_manager->free_count_ = {heap_needs + frames_left}")
        gdb.run_to("coronel_checkpoint", BOOT_SECONDS)
        log = stopped.machine.serial()
        for number in (1, 2):
            assert f"coronel: module {number}: out of memory\n" in log
        assert f"processes: {frames_left} frames free before, {frames_left} after\n" in log
        assert gdb.evaluate("g_process_list") == 0
        assert gdb.evaluate("g_kernel_heap->total_allocated_") == 0
        assert gdb.evaluate("g_physical_manager->free_count_") == frames_left


def test_one_page_in_two_processes() -> None:
    with at_checkpoint(1, "scenario=shared_user_page") as stopped:
        evaluate = stopped.gdb.evaluate
        assert evaluate("g_seeded_fault.kind == coronel::fault_kind::shared_user_page") == 1
        page = evaluate("g_seeded_fault.address")
        victim, culprit = (
            pages_of(stopped, evaluate(f"((coronel::process *)g_seeded_fault.{who})->memory.page_directory_"))
            for who in ("victim", "culprit")
        )
        assert victim[page] == culprit[page]
        shared = frames(user_half(victim)) & frames(user_half(culprit))
        assert shared == {victim[page][0]}
        before, after = (
            evaluate(f"*(unsigned long *)g_seeded_fault.{when}") for when in ("original", "written")
        )
        assert after & 0x000F_FFFF_FFFF_F000 == victim[page][0]
        assert before & 0x000F_FFFF_FFFF_F000 != victim[page][0]
        check_line(stopped, "paging::map(")


def test_a_kernel_page_with_the_user_bit() -> None:
    with at_checkpoint(1, "scenario=kernel_user_bit") as stopped:
        evaluate = stopped.gdb.evaluate
        assert evaluate("g_seeded_fault.kind == coronel::fault_kind::kernel_user_bit") == 1
        page = evaluate("g_seeded_fault.address")
        assert [at for at, (_, rights) in info_tlb(stopped).items() if rights.endswith("user")] == [page]
        assert evaluate("*(unsigned long *)g_seeded_fault.written") & 7 == 7
        check_line(stopped, "paging::map(")


def check_line(stopped: Stopped, statement: str) -> None:
    """The line the scenario names is the faulty statement's."""
    file = re.findall(r'"(.*)"', stopped.gdb.console("print g_seeded_fault.file"))[0]
    line = stopped.gdb.evaluate("g_seeded_fault.line")
    assert statement in stopped.gdb.console(f"list {file}:{line},{line}")
