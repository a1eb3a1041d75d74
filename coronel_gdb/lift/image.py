"""A stretch of virtual memory read once: what is judged and what is printed are the same bytes."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import replace

from coronel_gdb.lift.space import AddressSpace, Run
from model.types import VirtualAddress

_LIMIT_BYTES = 4 << 30


def joined(runs: Iterable[Run]) -> Iterator[Run]:
    """Unreadable runs in ascending order, neighbours as one; of those the first one's reason."""
    hole: Run | None = None
    for run in runs:
        if hole is not None and hole.end == run.start:
            hole = replace(hole, end=run.end)
            continue
        if hole is not None:
            yield hole
        hole = run
    if hole is not None:
        yield hole


class Image:
    """The readable and unreadable runs of [start, end)."""

    def __init__(self, space: AddressSpace, start: VirtualAddress, end: VirtualAddress) -> None:
        self.start = start
        self.end = VirtualAddress(min(end, start + _LIMIT_BYTES))
        self.unreadable: list[Run] = []
        self._lost: list[tuple[int, int]] = []
        self._starts: list[int] = []
        parts: list[list[bytes]] = []
        readable_to = -1
        for run in space.runs(self.start, self.end):
            if run.data is None:
                self.unreadable.append(run)
                if run.lost:
                    self._lost.append((run.start, run.end))
                continue
            if readable_to != run.start:
                self._starts.append(run.start)
                parts.append([])
            parts[-1].append(run.data)
            readable_to = run.end
        # Joined once: growing a buffer of 100 MB run by run costs more than judging it.
        self._chunks = [part[0] if len(part) == 1 else b"".join(part) for part in parts]

    def holes(self) -> Iterator[Run]:
        """The unreadable runs, neighbours joined."""
        return joined(self.unreadable)

    def lacks(self, start: int, end: int) -> bool:
        """Whether the target does not have the memory of some byte of [start, end)."""
        index = bisect_left(self._lost, (end, 0)) - 1
        return index >= 0 and start < self._lost[index][1]

    def chunks(self) -> Iterator[tuple[int, bytes]]:
        """Start and bytes of every readable chunk, in ascending order."""
        yield from zip(self._starts, self._chunks, strict=True)

    def chunk(self, address: int) -> tuple[int, bytes] | None:
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
        return found[1][address - found[0] : address - found[0] + size_bytes]

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
