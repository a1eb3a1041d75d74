"""A reader of dumps: LiME's own format, which Linux machines without a hypervisor are dumped in.

Each range is a header of 32 bytes (magic 0x4C694D45, version 1, first and last physical address, 8 bytes
reserved), and the bytes of the range.
"""

import struct
from bisect import bisect_right
from collections.abc import Iterator, Sequence

from coronel_gdb.api import OUTSIDE, Dump, DumpError, DumpReader, ReadFault, Source

API_VERSION = 1
_HEADER = struct.Struct("<IIQQ8x")
_MAGIC = 0x4C694D45
_MOST_RANGES = 4096


class LimeMemory:
    """Physical memory in the ranges of the file."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._ranges = sorted(_ranges(source))
        self._starts = [start for start, _, _ in self._ranges]

    def read(self, address: int, size_bytes: int) -> bytes:
        """Exactly `size_bytes` bytes, out of one range or of several that touch."""
        data = b""
        while len(data) < size_bytes:
            at = address + len(data)
            start, end, offset = self._ranges[max(0, bisect_right(self._starts, at) - 1)]
            if not start <= at < end:
                raise ReadFault("physical", at, size_bytes - len(data), OUTSIDE)
            data += self._source.read(offset + at - start, min(end - at, size_bytes - len(data)))
        return data

    def ranges(self) -> Sequence[tuple[int, int]]:
        """What the file describes, ascending."""
        return [(start, end) for start, end, _ in self._ranges]


def _ranges(source: Source) -> Iterator[tuple[int, int, int]]:
    """(start, end, offset in the file) of each range; `DumpError` where the file is damaged."""
    at = 0
    for _ in range(_MOST_RANGES):
        if at == source.size_bytes:
            return
        magic, version, first, last = _HEADER.unpack(source.read(at, _HEADER.size))
        if magic != _MAGIC or version != 1 or last < first:
            raise DumpError(f"{source.name}: no LiME header at offset {at:#x}")
        at += _HEADER.size
        if at + last + 1 - first > source.size_bytes:
            raise DumpError(f"{source.name} is truncated: the range from {first:#x} ends behind the file")
        yield first, last + 1, at
        at += last + 1 - first
    raise DumpError(f"{source.name}: more than {_MOST_RANGES} ranges")


def open_lime(source: Source) -> Dump:
    """The dump; it holds no registers, so the top table is named with --cr3."""
    return Dump("LiME", LimeMemory(source))


DUMP_READERS = (DumpReader("LiME", b"EMiL", open_lime),)
