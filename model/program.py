"""Programs: static ELF files that a process is made from (docs/spec.md §14.1).

The file format is that of the System V ABI, chapters 4 and 5. `parse` accepts what the kernel accepts and
refuses the rest for the same reason, in the same order.
"""

import struct
from dataclasses import dataclass
from typing import Final

from model.address_space import PROGRAM_END, PROGRAM_START
from model.types import PAGE_BYTES, VirtualAddress, align_up, is_aligned

_HEADER: Final = struct.Struct("<4sBB10xHHIQQQIHHHHHH")
_SEGMENT: Final = struct.Struct("<IIQQQQQQ")
_ELF64, _LITTLE_ENDIAN, _X86_64, _EXECUTABLE, _LOAD = 2, 1, 62, 2, 1
_X, _W, _R = 1, 2, 4


@dataclass(frozen=True, slots=True)
class Segment:
    """Bytes at `start`, and zeros behind them up to `size_bytes`."""

    start: VirtualAddress
    size_bytes: int
    data: bytes

    @property
    def end(self) -> VirtualAddress:
        """Where its last page ends."""
        return VirtualAddress(align_up(self.start + self.size_bytes, PAGE_BYTES))


@dataclass(frozen=True, slots=True)
class Program:
    """What a file asks for; a file without a data segment has an empty one at 0."""

    entry: VirtualAddress
    code: Segment
    data: Segment


@dataclass(frozen=True, slots=True)
class ProgramRefused:
    """Why a file is no program; the kernel prints it as `coronel: module N: REASON`."""

    reason: str


def parse(data: bytes) -> Program | ProgramRefused:
    """The program in the bytes of a file."""
    if len(data) < _HEADER.size:
        return ProgramRefused("truncated")
    magic, width, order, kind, machine, _, entry, table, _, _, _, entry_bytes, count, _, _, _ = (
        _HEADER.unpack_from(data)
    )
    if magic != b"\x7fELF":
        return ProgramRefused("no ELF file")
    if (width, order, machine) != (_ELF64, _LITTLE_ENDIAN, _X86_64):
        return ProgramRefused("not for x86-64")
    if kind != _EXECUTABLE:
        return ProgramRefused("no static executable")
    if entry_bytes != _SEGMENT.size:
        return ProgramRefused("program headers of another size")
    if table + count * _SEGMENT.size > len(data):
        return ProgramRefused("truncated")
    return _program(data, entry, range(table, table + count * _SEGMENT.size, _SEGMENT.size))


def _program(data: bytes, entry: int, headers: range) -> Program | ProgramRefused:
    """The program of the segments whose headers lie at these offsets."""
    segments: dict[int, Segment] = {}
    for at in headers:
        segment = _segment(data, at)
        if isinstance(segment, ProgramRefused):
            return segment
        kind = _SEGMENT.unpack_from(data, at)[1] & (_W | _X)
        if kind not in (_W, _X):
            which = "both writable and" if kind else "neither writable nor"
            return ProgramRefused(f"a segment {which} executable")
        if kind in segments:
            return ProgramRefused(f"more than one {'code' if kind == _X else 'data'} segment")
        segments[kind] = segment
    rest = segments.get(_W, Segment(VirtualAddress(0), 0, b""))
    if _X not in segments:
        return ProgramRefused("no code")
    code = segments[_X]
    if code.start < rest.end and rest.start < code.end:
        return ProgramRefused("segments overlap")
    if not code.start <= entry < code.start + code.size_bytes:
        return ProgramRefused("the entry lies outside the code")
    return Program(VirtualAddress(entry), code, rest)


def _segment(data: bytes, at: int) -> Segment | ProgramRefused:
    """The segment that the program header at `data[at]` describes."""
    kind, flags, offset, start, _, file_bytes, memory_bytes, _ = _SEGMENT.unpack_from(data, at)
    if kind != _LOAD:
        return ProgramRefused("a segment that is not loaded")
    if not flags & _R:
        return ProgramRefused("a segment that is not readable")
    if not is_aligned(start, PAGE_BYTES):
        return ProgramRefused("a segment that is not page aligned")
    if memory_bytes == 0 or file_bytes > memory_bytes:
        return ProgramRefused("a segment without a proper size")
    if start < PROGRAM_START or start + memory_bytes > PROGRAM_END:
        return ProgramRefused("a segment out of bounds")
    if offset + file_bytes > len(data):
        return ProgramRefused("truncated")
    return Segment(VirtualAddress(start), memory_bytes, data[offset : offset + file_bytes])


def module_line(line: str) -> tuple[str, str]:
    """What a module's line gives its process: the file's name without its path, and the arguments (§14.2)."""
    path, _, rest = line.lstrip(" ").partition(" ")
    return path.rpartition("/")[2], rest.lstrip(" ")
