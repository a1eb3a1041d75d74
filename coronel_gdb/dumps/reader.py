"""What a format of dumps is: how its files begin, and what opens them."""

from collections.abc import Callable
from dataclasses import dataclass

from coronel_gdb.dumps.dump import Dump
from coronel_gdb.dumps.source import Source


@dataclass(frozen=True, slots=True)
class DumpReader:
    """A format by the bytes that its files begin with (16 at most).

    `open` makes a dump of such a file, `DumpError` when it is damaged or truncated.
    """

    name: str
    magic: bytes
    open: Callable[[Source], Dump]
