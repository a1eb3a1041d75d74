"""What the tests of `replay` share."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from lab.gdbmi import Gdb


def performed(report: dict[str, Any]) -> int:
    return int(report["facts"]["operations"].split()[0].replace(",", ""))


@contextmanager
def poked(gdb: Gdb, place: str, value: int) -> Iterator[None]:
    """Other bytes in the kernel's memory inside the block."""
    saved = gdb.evaluate(f"(unsigned long){place}")
    gdb.run(f"set var {place} = {value}")
    try:
        yield
    finally:
        gdb.run(f"set var {place} = {saved}")
