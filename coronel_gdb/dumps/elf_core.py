"""ELF cores as QEMU's `dump-guest-memory` writes them, 32 and 64 bits, with paging off and on.

With paging on (`-p`) the segments name only what the CPUs' tables map, though the file holds all RAM, block
by block in ascending order. Two segments whose distance in the file equals their physical distance leave no
room for a hole between them: what lies there is read too, and `facts` say that its place was inferred.
"""

import struct
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from coronel_gdb.dumps.cpu_state import cpu_states
from coronel_gdb.dumps.dump import EXCLUDED, OUTSIDE, Dump
from coronel_gdb.dumps.source import Source
from coronel_gdb.errors import DumpError, ReadFault
from model.types import PhysicalAddress

MAGIC = b"\x7fELF"
_CORE, _LOAD, _NOTE = 4, 1, 4
_X86_64, _I386 = 62, 3
_MANY = 0xFFFF  # PN_XNUM: the true number of segments is in the first section header's sh_info
_MOST_SEGMENTS = 1 << 18
_MOST_NOTE_BYTES = 1 << 20
# (program header, its offset, size and count fields) of the two classes.
_HEADERS = {1: struct.Struct("<IIIIIIII"), 2: struct.Struct("<IIQQQQQQ")}
# No PC of QEMU has its first hole below this address: RAM whose end nobody states is taken to end here.
_LOWEST_HOLE = 2 << 30
_WHOLE_MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Segment:
    """Physical [start, end) at `offset` of the file; None when it was excluded."""

    start: int
    end: int
    offset: int | None


class ElfMemory:
    """The segments of a core, disjoint and ascending."""

    def __init__(self, source: Source, segments: list[Segment], gap: str = OUTSIDE) -> None:
        self._source = source
        self._segments = segments
        self._starts = [segment.start for segment in segments]
        self._gap = gap

    def read(self, address: PhysicalAddress, size_bytes: int) -> bytes:
        """Exactly `size_bytes` bytes; `ReadFault` says which of the three ways they are not there."""
        parts = []
        for at, size, offset in self._pieces(address, size_bytes):
            try:
                parts.append(self._source.read(offset, size))
            except DumpError as error:
                raise ReadFault("physical", at, size, str(error)) from error
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def ranges(self) -> Sequence[tuple[int, int]]:
        """The segments, merged where they touch."""
        merged: list[tuple[int, int]] = []
        for segment in self._segments:
            if merged and merged[-1][1] == segment.start:
                merged[-1] = (merged[-1][0], segment.end)
            else:
                merged.append((segment.start, segment.end))
        return merged

    def _pieces(self, address: int, size_bytes: int) -> Iterator[tuple[int, int, int]]:
        at, end = address, address + size_bytes
        while at < end:
            index = bisect_right(self._starts, at) - 1
            if index < 0 or at >= self._segments[index].end:
                raise ReadFault("physical", at, end - at, self._gap)
            segment = self._segments[index]
            stop = min(end, segment.end)
            if segment.offset is None:
                raise ReadFault("physical", at, stop - at, EXCLUDED)
            yield at, stop - at, segment.offset + at - segment.start
            at = stop


def open_elf(source: Source) -> Dump:
    """The core in `source`; `DumpError` when it is none, or its headers are damaged."""
    head = source.read(0, 64)
    bits, order, kind, machine = head[4], head[5], *struct.unpack_from("<HH", head, 16)
    if bits not in _HEADERS or order != 1 or machine not in (_X86_64, _I386):
        raise DumpError(f"{source.name} is an ELF file of another processor, not of an x86 machine")
    if kind != _CORE:
        raise DumpError(f"{source.name} is an ELF program, not a dump: a kernel goes behind --kernel")
    loads, remarks, physical = [], b"", True
    for segment in _segments(source, head, bits):
        type_, offset, virtual, paddr, file_bytes, memory_bytes = segment
        if type_ == _NOTE and not remarks:
            if file_bytes > _MOST_NOTE_BYTES:
                raise DumpError(f"{source.name} is damaged: its notes claim {file_bytes:,} bytes")
            remarks = source.read(offset, file_bytes)
        elif type_ == _LOAD:
            physical = physical and virtual == paddr
            here = min(file_bytes, memory_bytes)
            loads.append(Segment(paddr, paddr + here, offset))
            loads.append(Segment(paddr + here, paddr + memory_bytes, None))
    described = _disjoint(loads)
    states = cpu_states(remarks, long_mode=machine == _X86_64)
    if physical or not described:
        return Dump("ELF core, paging off", ElfMemory(source, described), states, physical_addresses=True)
    memory = ElfMemory(source, _with_gaps(described, source.size_bytes), "not described by this dump")
    named = sum(segment.end - segment.start for segment in described)
    total = sum(end - start for start, end in memory.ranges())
    facts = (("inferred", f"the place of {(total - named) >> 10:,} KiB that no segment names"),)
    return Dump("ELF core, paging on", memory, states, facts)


def _segments(source: Source, head: bytes, bits: int) -> Iterator[tuple[int, int, int, int, int, int]]:
    """(type, offset, virtual, physical, file bytes, memory bytes) of every program header."""
    if bits == 2:
        table, sections = struct.unpack_from("<QQ", head, 32)
        entry_bytes, count = struct.unpack_from("<HH", head, 54)
    else:
        table, sections = struct.unpack_from("<II", head, 28)
        entry_bytes, count = struct.unpack_from("<HH", head, 42)
    form = _HEADERS[bits]
    if count == _MANY:
        (count,) = struct.unpack_from("<I", source.read(sections, 64), 44 if bits == 2 else 28)
    if entry_bytes != form.size or count > _MOST_SEGMENTS:
        raise DumpError(f"{source.name} is damaged: {count:,} segments with headers of {entry_bytes} bytes")
    for row in form.iter_unpack(source.read(table, count * entry_bytes)):
        if bits == 2:
            type_, _, offset, virtual, paddr, file_bytes, memory_bytes, _ = row
        else:
            type_, offset, virtual, paddr, file_bytes, memory_bytes, _, _ = row
        yield type_, offset, virtual, paddr, file_bytes, memory_bytes


def _disjoint(segments: list[Segment]) -> list[Segment]:
    """Ascending and without overlap: the same frame may be mapped, and named, many times."""
    found: list[Segment] = []
    end = 0
    # What is there comes before what was excluded at the same place.
    for segment in sorted(segments, key=lambda one: (one.start, one.offset is None, -one.end)):
        start = max(segment.start, end)
        if start >= segment.end:
            continue
        offset = None if segment.offset is None else segment.offset + start - segment.start
        found.append(Segment(start, segment.end, offset))
        end = segment.end
    return found


def _with_gaps(segments: list[Segment], file_bytes: int) -> list[Segment]:
    """The segments of a core with paging on, and what the file must hold between and around them."""
    loads = [(one, one.offset) for one in segments if one.offset is not None]
    if not loads:
        return segments
    filled: list[Segment] = []
    first, offset = loads[0]
    # RAM begins at address 0, and its first byte follows the headers: nothing else can lie in between.
    if 0 < first.start <= offset and offset - first.start < _WHOLE_MIB:
        filled.append(Segment(0, first.start, offset - first.start))
    for (one, offset), (after, offset_after) in pairwise(loads):
        filled.append(one)
        if one.end < after.start and offset_after - after.start == offset - one.start:
            filled.append(Segment(one.end, after.start, offset + one.end - one.start))
    last, offset = loads[-1]
    filled.append(last)
    # RAM is whole MiB; what is left over at the end of the file is the firmware.
    delta = offset - last.start
    end = (file_bytes - delta) // _WHOLE_MIB * _WHOLE_MIB
    if last.end <= _LOWEST_HOLE:
        end = min(end, _LOWEST_HOLE)
    if last.end < end:
        filled.append(Segment(last.end, end, last.end + delta))
    return filled
