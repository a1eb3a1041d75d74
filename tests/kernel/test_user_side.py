"""Programs in ring 3, by what the serial line shows: system calls, faults, stacks, refused files."""

import re
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.machine import Machine
from lab.paths import BOOT_ELF
from lab.programs import PROGRAMS, modules

KERNEL_TEXT = 0xFFFF_FFFF_8010_0000
DATA = 0x40_1000
HEAP_DATA = 0x800_0030
STACK_GUARD = range(0x7F7F_F000, 0x7F80_0000)
STACK = range(0x7F80_0000, 0x8000_0000)

PAGE_FAULT, PROTECTION = 14, 13
PRESENT, WRITE, USER, FETCH = 1, 2, 4, 16

WORKING = {
    "all_calls one two": 56,
    "pointers": 11,
    "smash": 4,
    "churn": 1,
    "hoard": 1,
    "stack deep": 4,
    "leave": 0,
}
"""Program → how many checks of its own it must pass."""

FAULTS: dict[str, tuple[int, int, int | None]] = {
    "null": (PAGE_FAULT, USER, 0),
    "null-call": (PAGE_FAULT, USER | FETCH, 0),
    "write-code": (PAGE_FAULT, USER | PRESENT | WRITE, None),
    "execute-data": (PAGE_FAULT, USER | PRESENT | FETCH, None),
    "execute-stack": (PAGE_FAULT, USER | PRESENT | FETCH, None),
    "execute-heap": (PAGE_FAULT, USER | PRESENT | FETCH, HEAP_DATA),
    "write-constant": (PAGE_FAULT, USER | PRESENT | WRITE, 0x4000_0000),
    "read-kernel": (PAGE_FAULT, USER | PRESENT, KERNEL_TEXT),
    "write-kernel": (PAGE_FAULT, USER | PRESENT | WRITE, 0xFFFF_FFFF_8033_0000),
    "call-kernel": (PAGE_FAULT, USER | PRESENT | FETCH, KERNEL_TEXT),
    "read-window": (PAGE_FAULT, USER, 0xFFFF_FFFF_BFE0_0000),
    "not-canonical": (PROTECTION, 0, None),
    "halt": (PROTECTION, 0, None),
    "interrupts": (PROTECTION, 0, None),
    "port": (PROTECTION, 0, None),
    "control": (PROTECTION, 0, None),
    "breakpoint": (PROTECTION, 3 << 4 | 2, None),
    "double-fault": (PROTECTION, 8 << 4 | 2, None),
    "gate": (PROTECTION, 0x80 << 4 | 2, None),
    "divide": (0, 0, None),
    "single-step": (1, 0, None),
    "floating-point": (7, 0, None),
    "vector": (6, 0, None),
}
"""What a program tries → vector, error code and, where it is fixed, the address."""

GUARD = "stack guard"
LINES = [*WORKING, GUARD, *(f"fault {what}" for what in FAULTS)]
PIDS = {line: pid for pid, line in enumerate(LINES, 1)}


@pytest.fixture(scope="module")
def log() -> Iterator[str]:
    """What one kernel said that ran every program at once, then many processes, then churned mappings."""
    append = "scenario=processes,mmap_churn ops=500"
    with Machine(BOOT_ELF, append, extra=modules(LINES)) as machine:
        yield machine.wait_for_serial("coronel: done\n")


def end_of(log: str, line: str) -> str:
    """How that program's process ended."""
    (end,) = re.findall(rf"^coronel: process {PIDS[line]}: (.*)$", log, re.M)
    return str(end)


def test_every_check_in_ring_3_passes(log: str) -> None:
    assert "FAIL" not in log
    assert len(re.findall("^PASS ", log, re.M)) == sum(WORKING.values())


@pytest.mark.parametrize("line", WORKING)
def test_a_program_that_does_nothing_wrong_exits(log: str, line: str) -> None:
    assert end_of(log, line) == "exit 0"


@pytest.mark.parametrize("what", FAULTS)
def test_a_process_that_faults_ends_alone(log: str, what: str) -> None:
    vector, error, address = FAULTS[what]
    end = end_of(log, f"fault {what}")
    found = re.fullmatch(r"exception (\d+) error (0x\w+) cr2 (0x\w+) rip (0x\w+)", end)
    assert found, end
    assert (int(found[1]), int(found[2], 16)) == (vector, error)
    if address is not None:
        assert int(found[3], 16) == address


def test_the_stack_ends_in_its_guard(log: str) -> None:
    found = re.fullmatch(r"exception 14 error 0x6 cr2 (0x\w+) rip 0x4\w+", end_of(log, GUARD))
    assert found
    assert int(found[1], 16) in STACK_GUARD


def test_a_line_of_a_process_has_no_control_characters(log: str) -> None:
    assert "\na.b\n" in log


@pytest.mark.parametrize("scenario", ["processes", "mmap_churn"])
def test_all_frames_come_back(log: str, scenario: str) -> None:
    found = re.search(rf"^coronel: {scenario}: (\d+) frames free before, (\d+) after$", log, re.M)
    assert found
    assert found[1] == found[2]
    assert int(found[1]) > 30_000


def test_nothing_stopped_the_kernel(log: str) -> None:
    assert "coronel: exception" not in log
    parts = set(re.findall(r"^coronel: ([a-z ]+): (?:corruption detected|double free):", log, re.M))
    assert parts == {"user heap"}


def test_processes_take_turns_in_order_of_their_numbers() -> None:
    """docs/spec.md 14.7; and a line of the kernel begins on a line of its own, whatever a process left."""
    lines = modules(["turns a3", "turns b1", "turns c2", "turns d0"])
    with Machine(BOOT_ELF, "scenario=processes", extra=lines) as machine:
        log = machine.wait_for_serial("coronel: done\n")
    assert re.sub("^coronel: .*\n", "", log, flags=re.M).replace("\n", "") == "abcaca"
    ends = re.findall("^coronel: process ([0-9]): exit ([0-9]+)$", log, re.M)
    assert ends == [
        (pid, str(ord(letter))) for pid, letter in (("4", "d"), ("2", "b"), ("3", "c"), ("1", "a"))
    ]


@pytest.mark.parametrize("cpu_model", ["max", "qemu64"])
def test_hundreds_of_processes_leave_no_trace(cpu_model: str) -> None:
    """With SMEP and SMAP, and on a CPU that has neither."""
    lines = modules(["leave", "fault null", "pause x"])
    append = "scenario=many_processes ops=300"
    with Machine(BOOT_ELF, append, cpu_model=cpu_model, memory="32M", extra=lines) as machine:
        log = machine.wait_for_serial("coronel: done\n", 60)
    found = re.search(r"many_processes: (\d+) made, (\d+) frames free before, (\d+) after", log)
    assert found
    assert found[1] == "300"
    assert found[2] == found[3]
    assert len(re.findall("^coronel: process [0-9]+: exit 0$", log, re.M)) == 200
    # Never used again.
    assert sorted(map(int, re.findall("^coronel: process ([0-9]+):", log, re.M))) == list(range(1, 301))


def test_a_stack_without_memory_ends_its_process_alone() -> None:
    lines = modules(["stack hungry", "leave", "stack deep"])
    with Machine(BOOT_ELF, "scenario=processes", memory="32M", extra=lines) as machine:
        log = machine.wait_for_serial("coronel: done\n")
    found = re.search(r"^coronel: process 1: exception 14 error 0x6 cr2 (0x\w+) ", log, re.M)
    assert found
    assert int(found[1], 16) in STACK
    assert "coronel: physical: out of memory: 0x1000\n" in log
    for pid in (2, 3):
        assert f"coronel: process {pid}: exit 0\n" in log
    found = re.search(r"processes: (\d+) frames free before, (\d+) after", log)
    assert found
    assert found[1] == found[2]


class Elf:
    """An ELF file that is changed field by field (System V ABI, chapters 4 and 5)."""

    def __init__(self, contents: bytes) -> None:
        self.contents = bytearray(contents)

    def put(self, offset: int, form: str, value: int) -> "Elf":
        struct.pack_into(form, self.contents, offset, value)
        return self

    def code(self, offset: int, form: str, value: int) -> "Elf":
        return self.put(64 + offset, form, value)

    def data(self, offset: int, form: str, value: int) -> "Elf":
        return self.put(64 + 56 + offset, form, value)

    def cut(self, length: int) -> "Elf":
        del self.contents[length:]
        return self


TYPE, FLAGS, OFFSET, ADDRESS, FILE_BYTES, MEMORY_BYTES = 0, 4, 8, 16, 32, 40


def broken(whole: bytes) -> Iterator[tuple[Elf, str]]:
    """Files with one thing wrong, and why each is refused (docs/spec.md 14.1)."""
    yield Elf(whole).cut(63), "truncated"
    yield Elf(whole).cut(100), "truncated"
    yield Elf(whole).cut(0x1010), "truncated"
    yield Elf(whole).put(0, "<I", 0x464C457E), "no ELF file"
    yield Elf(whole).put(4, "B", 1), "not for x86-64"
    yield Elf(whole).put(18, "<H", 3), "not for x86-64"
    yield Elf(whole).put(16, "<H", 3), "no static executable"
    yield Elf(whole).put(54, "<H", 32), "program headers of another size"
    yield Elf(whole).put(32, "<Q", 1 << 40), "truncated"
    yield Elf(whole).put(32, "<Q", (1 << 64) - 8), "truncated"
    yield Elf(whole).put(56, "<H", 0), "no code"
    yield Elf(whole).put(56, "<H", 0xFFFF), "truncated"
    yield Elf(whole).data(TYPE, "<I", 2), "a segment that is not loaded"
    yield Elf(whole).data(TYPE, "<I", 0x6474E551), "a segment that is not loaded"
    yield Elf(whole).data(FLAGS, "<I", 7), "a segment both writable and executable"
    yield Elf(whole).data(FLAGS, "<I", 4), "a segment neither writable nor executable"
    yield Elf(whole).data(FLAGS, "<I", 2), "a segment that is not readable"
    yield Elf(whole).data(FLAGS, "<I", 5), "more than one code segment"
    yield Elf(whole).code(FLAGS, "<I", 6), "more than one data segment"
    yield Elf(whole).code(ADDRESS, "<Q", 0x40_0010), "a segment that is not page aligned"
    yield Elf(whole).data(ADDRESS, "<Q", 0x3F_F000), "a segment out of bounds"
    yield Elf(whole).data(ADDRESS, "<Q", 0x800_0000), "a segment out of bounds"
    yield Elf(whole).data(ADDRESS, "<Q", KERNEL_TEXT), "a segment out of bounds"
    yield Elf(whole).data(MEMORY_BYTES, "<Q", 0x7C0_0000), "a segment out of bounds"
    yield Elf(whole).data(MEMORY_BYTES, "<Q", (1 << 64) - 1), "a segment out of bounds"
    yield Elf(whole).data(FILE_BYTES, "<Q", 1 << 20), "a segment without a proper size"
    yield Elf(whole).data(OFFSET, "<Q", (1 << 64) - 1), "truncated"
    yield Elf(whole).data(ADDRESS, "<Q", 0x40_0000), "segments overlap"
    yield Elf(whole).put(24, "<Q", DATA), "the entry lies outside the code"
    yield Elf(whole).data(MEMORY_BYTES, "<Q", 0x7BF_0000), "out of memory"


def test_a_file_that_is_no_proper_program_is_refused(tmp_path: Path) -> None:
    whole = (PROGRAMS / "leave.elf").read_bytes()
    (tmp_path / "good.elf").write_bytes(whole)
    cases = list(broken(whole))
    for number, (elf, _) in enumerate(cases, 1):
        (tmp_path / f"{number}.elf").write_bytes(elf.contents)
    lines = [*(str(number) for number in range(1, len(cases) + 1)), "good"]
    with Machine(BOOT_ELF, "scenario=processes", extra=modules(lines, tmp_path)) as machine:
        log = machine.wait_for_serial("coronel: done\n")
    refusals = dict(re.findall(r"^coronel: module (\d+): (.*)$", log, re.M))
    assert refusals == {str(number): reason for number, (_, reason) in enumerate(cases, 1)}
    assert len(re.findall("^coronel: process [0-9]+: exit 0$", log, re.M)) == 1
    found = re.search(r"processes: (\d+) frames free before, (\d+) after", log)
    assert found
    assert found[1] == found[2]
