"""Places of code addresses, against binutils' addr2line on the same kernel."""

import random
import subprocess
from pathlib import Path

import pytest

from coronel_gdb.errors import KernelError
from coronel_gdb.layout.lines import locate
from lab.paths import KERNEL_ELF


def sampled(count: int) -> list[int]:
    """Addresses all over the kernel's functions."""
    text = subprocess.run(["nm", "-S", KERNEL_ELF], check=True, capture_output=True, text=True).stdout
    rows = [line.split() for line in text.splitlines()]
    functions = [(int(row[0], 16), int(row[1], 16)) for row in rows if len(row) == 4 and row[2] in "tT"]
    draw = random.Random(1)
    return sorted({start + draw.randrange(size) for start, size in draw.choices(functions, k=count)})


def told(addresses: list[int]) -> list[tuple[str, str]]:
    """The outermost function's name and the line, as addr2line has them."""
    command = ["addr2line", "-C", "-f", "-i", "-a", "-e", str(KERNEL_ELF), *map(hex, addresses)]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    answers = []
    for part in text.split("0x")[1:]:
        lines = [line for line in part.splitlines() if line][1:]
        answers.append((lines[-2], lines[1].partition(" (discriminator")[0]))
    return answers


def test_places_are_those_of_addr2line() -> None:
    addresses = sampled(300)
    places = locate(KERNEL_ELF, addresses)
    compared = 0
    for address, (function, line) in zip(addresses, told(addresses), strict=True):
        place = places.get(address)
        if place is None or place.line == 0:
            assert line.endswith((":?", ":0")), hex(address)
            continue
        assert f"{Path(place.file).name}:{place.line}" == Path(line).name, hex(address)
        if place.function != "?":  # assembly has no functions in DWARF
            name = place.function.partition("<")[0].partition("(")[0]
            assert name.rpartition("::")[2] in function
            compared += 1
    assert compared > 200


def test_what_cannot_be_told() -> None:
    assert locate(KERNEL_ELF, []) == {}
    assert locate(KERNEL_ELF, [0, 0x1234, (1 << 64) - 1]) == {}
    with pytest.raises(KernelError, match="cannot read"):
        locate(Path("/nowhere"), [1])
    with pytest.raises(KernelError, match="is not a usable ELF file"):
        locate(Path(__file__), [1])
