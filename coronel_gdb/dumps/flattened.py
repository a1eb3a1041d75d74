"""makedumpfile's flattened form: the pieces of a file in the order in which they were written.

4096 bytes of header, then pieces, each with its offset and size as big-endian 64-bit integers before it;
offset and size of -1 end the file. QEMU writes a kdump so. Later pieces overwrite earlier ones.
"""

from array import array
from bisect import bisect_left, bisect_right
from itertools import pairwise

from coronel_gdb.dumps.source import Source
from coronel_gdb.errors import DumpError

MAGIC = b"makedumpfile\0\0\0\0"
_HEADER_BYTES = 4096
_PIECE_BYTES = 16
_END = (1 << 64) - 1
_MOST_PIECES = 1 << 22
_MOST_REWRITES = 4096
_MOST_BYTES = 1 << 56


class Flattened:
    """The file that the pieces make up. What none of them holds is zero, as in the sparse file they describe.

    24 bytes a piece are kept, and nothing of what the pieces hold.
    """

    def __init__(self, source: Source) -> None:
        self.name = source.name
        self.size_bytes = 0
        self._source = source
        self._complete = False
        # Three columns in ascending order of place, and the few pieces that rewrite others, as written.
        self._places, self._sizes, self._offsets = array("Q"), array("Q"), array("Q")
        self._rewrites: list[tuple[int, int, int]] = []
        self._scan()
        if any(before > after for before, after in pairwise(self._places)):
            self._sort()
        self._separate()

    def _scan(self) -> None:
        head = self._source.read(0, 32)
        kind, version = (int.from_bytes(head[at : at + 8], "big") for at in (16, 24))
        if (kind, version) != (1, 1):
            raise DumpError(f"{self.name} is a flattened dump of an unknown kind ({kind}, version {version})")
        at, file_bytes, read = _HEADER_BYTES, self._source.size_bytes, self._source.read
        while at + _PIECE_BYTES <= file_bytes:
            head = read(at, _PIECE_BYTES)
            place, size = int.from_bytes(head[:8], "big"), int.from_bytes(head[8:], "big")
            if place == size == _END:
                self._complete = True
                return
            at += _PIECE_BYTES
            if place + size > _MOST_BYTES or len(self._places) == _MOST_PIECES:
                raise DumpError(f"{self.name} is damaged: its piece at offset {at:#x} is out of bounds")
            if at + size > file_bytes:
                size = file_bytes - at  # truncated in the middle of a piece
            if size:
                self._places.append(place)
                self._sizes.append(size)
                self._offsets.append(at)
                self.size_bytes = max(self.size_bytes, place + size)
            at += size

    def _sort(self) -> None:
        order = sorted(range(len(self._places)), key=self._places.__getitem__)
        for name in ("_places", "_sizes", "_offsets"):
            column = getattr(self, name)
            setattr(self, name, array("Q", (column[index] for index in order)))

    def _separate(self) -> None:
        """Take the pieces that overlap an earlier one out of the columns, in the order of writing."""
        end, last, moved = 0, -1, []
        for index, place in enumerate(self._places):
            if place < end:
                later = max(index, last, key=self._offsets.__getitem__)
                moved.append(later)
                if len(moved) > _MOST_REWRITES:
                    raise DumpError(f"{self.name} is damaged: it rewrites itself too often")
                if later == index:
                    continue
            end, last = place + self._sizes[index], index
        self._rewrites = sorted(
            ((self._places[index], self._sizes[index], self._offsets[index]) for index in moved),
            key=lambda piece: piece[2],
        )
        for index in sorted(moved, reverse=True):
            del self._places[index], self._sizes[index], self._offsets[index]

    def read(self, offset: int, size_bytes: int) -> bytes:
        """Exactly those bytes; `DumpError` when they are not in the file."""
        end = offset + size_bytes
        if offset < 0 or size_bytes < 0 or end > self.size_bytes:
            raise DumpError(f"the dump is truncated: nothing at offset {offset:#x}")
        first = max(bisect_right(self._places, offset) - 1, 0)
        pieces = [
            (self._places[i], self._sizes[i], self._offsets[i])
            for i in range(first, bisect_left(self._places, end))
        ]
        if len(pieces) == 1 and not self._rewrites:
            place, size, at = pieces[0]
            if place <= offset and end <= place + size:
                return self._source.read(at + offset - place, size_bytes)
        data = bytearray(size_bytes)
        covered = 0
        for place, size, at in (*pieces, *self._rewrites):
            start, stop = max(place, offset), min(place + size, end)
            if start < stop:
                data[start - offset : stop - offset] = self._source.read(at + start - place, stop - start)
                covered += stop - start
        if covered < size_bytes and not self._complete:
            raise DumpError(f"the dump is truncated: nothing at offset {offset:#x}")
        return bytes(data)
