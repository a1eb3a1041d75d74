"""A stretch of virtual memory read once: what is judged and what is printed are the same bytes."""

from bisect import bisect_right
from collections.abc import Iterator

from coronel_gdb.lift.space import AddressSpace, Run
from model.types import VirtualAddress

_LIMIT_BYTES = 4 << 30


class Image:
    """The readable and unreadable runs of [start, end)."""

    def __init__(self, space: AddressSpace, start: VirtualAddress, end: VirtualAddress) -> None:
        self.start = start
        self.end = VirtualAddress(min(end, start + _LIMIT_BYTES))
        self.unreadable: list[Run] = []
        self._starts: list[int] = []
        self._chunks: list[bytearray] = []
        for run in space.runs(self.start, self.end):
            if run.data is None:
                self.unreadable.append(run)
            elif self._chunks and self._starts[-1] + len(self._chunks[-1]) == run.start:
                self._chunks[-1] += run.data
            else:
                self._starts.append(run.start)
                self._chunks.append(bytearray(run.data))

    def chunk(self, address: int) -> tuple[int, bytearray] | None:
        """Start and bytes of the readable chunk that contains `address`."""
        index = bisect_right(self._starts, address) - 1
        if index >= 0 and address < self._starts[index] + len(self._chunks[index]):
            return self._starts[index], self._chunks[index]
        return None

    def bytes_at(self, address: int, size_bytes: int) -> bytes | None:
        """The bytes there, None when not all of them were read."""
        found = self.chunk(address)
        if found is None or address + size_bytes > found[0] + len(found[1]):
            return None
        return bytes(found[1][address - found[0] : address - found[0] + size_bytes])

    def find(self, pattern: bytes, start: int) -> Iterator[int]:
        """Addresses from `start` upwards, then from the beginning, where `pattern` stands."""
        yield from self._find(pattern, start, self.end)
        yield from self._find(pattern, self.start, start)

    def _find(self, pattern: bytes, start: int, end: int) -> Iterator[int]:
        for base, data in zip(self._starts, self._chunks, strict=True):
            at = data.find(pattern, max(0, start - base))
            while at >= 0 and base + at < end:
                yield base + at
                at = data.find(pattern, at + 1)
