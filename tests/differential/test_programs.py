"""Files that are no programs: kernel and model refuse them for the same reason (docs/spec.md §14.1)."""

import re
import struct
from itertools import combinations
from pathlib import Path

import pytest

from lab.machine import Machine
from lab.paths import BOOT_ELF
from lab.programs import PROGRAMS, modules
from model.program import ProgramRefused, parse

CODE, DATA = 64, 120
FAULTS: dict[str, tuple[int, str, int]] = {
    "class": (4, "B", 1),
    "machine": (18, "<H", 3),
    "type": (16, "<H", 3),
    "header size": (54, "<H", 32),
    "headers": (32, "<Q", 1 << 40),
    "entry": (24, "<Q", 0x40_0FFE),
    "not loaded": (DATA, "<I", 2),
    "no rights": (DATA + 4, "<I", 0),
    "write and execute": (DATA + 4, "<I", 7),
    "second code": (DATA + 4, "<I", 5),
    "not aligned": (DATA + 16, "<Q", 0x40_1010),
    "overlap": (DATA + 16, "<Q", 0x40_0000),
    "too high": (DATA + 16, "<Q", 0x800_0000),
    "file size": (DATA + 32, "<Q", 1 << 20),
    "no size": (DATA + 40, "<Q", 0),
    "offset": (DATA + 8, "<Q", (1 << 64) - 1),
    "first unaligned": (CODE + 16, "<Q", 0x40_0010),
}
PAIRS = [pair for pair in combinations(FAULTS, 2) if FAULTS[pair[0]][0] != FAULTS[pair[1]][0]]
BOOTS = 5
MODULES = 32


def file_with(names: tuple[str, ...]) -> bytes:
    data = bytearray((PROGRAMS / "leave.elf").read_bytes())
    for offset, form, value in (FAULTS[name] for name in names):
        struct.pack_into(form, data, offset, value)
    return bytes(data)


def test_there_is_room_for_every_pair() -> None:
    assert len(FAULTS) + len(PAIRS) <= BOOTS * MODULES


@pytest.mark.parametrize("boot", range(BOOTS))
def test_of_two_faults_both_name_the_same(boot: int, tmp_path: Path) -> None:
    cases = [*((name,) for name in FAULTS), *PAIRS][boot * MODULES : (boot + 1) * MODULES]
    expected = {}
    for number, names in enumerate(cases, 1):
        data = file_with(names)
        (tmp_path / f"{number}.elf").write_bytes(data)
        outcome = parse(data)
        assert isinstance(outcome, ProgramRefused), names
        expected[str(number)] = outcome.reason
    lines = [str(number) for number in range(1, len(cases) + 1)]
    with Machine(BOOT_ELF, "scenario=processes", extra=modules(lines, tmp_path)) as machine:
        log = machine.wait_for_serial("coronel: done\n")
    assert dict(re.findall(r"^coronel: module (\d+): (.*)$", log, re.M)) == expected


def test_what_is_a_program_is_accepted() -> None:
    for file in sorted(PROGRAMS.glob("*.elf")):
        assert not isinstance(parse(file.read_bytes()), ProgramRefused), file
