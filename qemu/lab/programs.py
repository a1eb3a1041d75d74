"""User programs as multiboot modules: what `qemu -kernel` hands to the kernel beside itself."""

from collections.abc import Sequence
from pathlib import Path

from lab.paths import KERNEL_ELF

PROGRAMS = KERNEL_ELF.parent / "programs"
"""Where `make kernel` puts them, NAME.elf each."""


def modules(lines: Sequence[str], folder: Path = PROGRAMS) -> list[str]:
    """Return QEMU's options for these modules, if any: each line a program's name and its arguments."""
    if not lines:
        return []
    return ["-initrd", ",".join(f"{folder}/{name}.elf {rest}" for name, _, rest in map(_split, lines))]


def _split(line: str) -> tuple[str, str, str]:
    return line.partition(" ")
