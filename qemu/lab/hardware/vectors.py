"""Cases for the harness in the guest, and what it says of them: the records of qemu/hardware/harness.cpp."""

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum, IntFlag
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from model.types import PAGE_BYTES

if TYPE_CHECKING:
    import numpy as np

TEST_RAM: Final = 0x100_0000
VECTORS: Final = 0x1000_0000
RESULTS: Final = 0x1800_0000
MEMORY_BYTES: Final = 512 << 20
MAGIC: Final = 0x4B4C_4157

_HEADER: Final = struct.Struct("<IIIIQQQ")
_GROUP: Final = struct.Struct("<7QII")
_CASE: Final = struct.Struct("<IIII")
RESULT_BYTES: Final = 48
CASES_MAX: Final = (MEMORY_BYTES - RESULTS) // RESULT_BYTES
VECTOR_BYTES_MAX: Final = RESULTS - VECTORS


class Flag(IntFlag):
    """The state of the CPU in a case, and its privilege."""

    WP = 1 << 0
    NXE = 1 << 1
    PGE = 1 << 2
    SMEP = 1 << 3
    SMAP = 1 << 4
    PKE = 1 << 5
    PKS = 1 << 6
    AC = 1 << 7
    CPL3 = 1 << 8


class Kind(IntEnum):
    """What a case does: LOAD loads a segment from an LDT that begins at the address (implicit)."""

    READ1 = 0
    READ8 = 1
    WRITE1 = 2
    WRITE8 = 3
    FETCH = 4
    LOAD = 5
    MODIFY = 6


class Where(IntEnum):
    """Which instruction an exception belongs to."""

    ACCESS = 0
    TARGET = 1
    SUCCESS = 2
    ELSEWHERE = 3


class Case(NamedTuple):
    """One access; `flags` are those of `Flag`, a plain integer for speed."""

    kind: int
    flags: int
    pkru: int = 0
    pkrs: int = 0


@dataclass(slots=True)
class Group:
    """Tables and the accesses to one address that are tried with them.

    `entries` holds every word of the tables that is not 0, by physical address. `hints` are physical words
    and what they are to hold, which the runner chooses (`lab.hardware.predict`).
    """

    linear: int
    cr3: int
    entries: dict[int, int]
    cases: list[Case]
    write_value: int = 0x1122_3344_5566_7788
    hint_value: int = 0x0000_7200_0000_E6FF
    hints: list[tuple[int, int]] = field(default_factory=list)

    @property
    def crosses(self) -> bool:
        """Whether 8 bytes from the address on touch a second page."""
        return self.linear % PAGE_BYTES > PAGE_BYTES - 8

    def packed(self) -> bytes:
        """The group as the harness reads it."""
        (at0, value0), (at1, value1) = (*self.hints, (0, 0), (0, 0))[:2]
        parts = [
            _GROUP.pack(
                self.linear, self.cr3, at0, at1, value0, value1, self.write_value,
                len(self.entries), len(self.cases),
            )
        ]  # fmt: skip
        words = [word for entry in self.entries.items() for word in entry]
        parts.append(struct.pack(f"<{len(words)}Q", *words))
        parts += [_CASE.pack(case.flags, case.kind, case.pkru, case.pkrs) for case in self.cases]
        return b"".join(parts)


def pack(groups: Sequence[Group], *, five_levels: bool, to_port: bool) -> bytes:
    """All vectors of a run, the header first."""
    body = b"".join(group.packed() for group in groups)
    size_bytes = _HEADER.size + len(body)
    return _HEADER.pack(MAGIC, 0, five_levels, to_port, len(groups), size_bytes, 0) + body


def progress(vectors: bytes) -> int:
    """How many cases the harness had begun, from the header in memory."""
    return int(_HEADER.unpack_from(vectors)[6])


def results(data: bytes) -> "np.ndarray[Any, Any]":
    """What the harness noted, one record for each case."""
    import numpy as np

    layout = np.dtype(
        [
            ("cr2", "<u8"), ("value", "<u8"), ("after0", "<u8"), ("after1", "<u8"), ("error", "<u4"),
            ("vector", "u1"), ("cpl", "u1"), ("where", "u1"), ("spare", "u1"),
            ("flags", "<u4"), ("changed", "<u4"),
        ]
    )  # fmt: skip
    assert layout.itemsize == RESULT_BYTES
    return np.frombuffer(data, layout)
