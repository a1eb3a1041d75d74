"""The first free block that is large enough, in list order, without walking the list.

A block's place in the list is a *coordinate*: regions lie behind each other in the order of their
expansions, so address order within a region and order of regions become one number. Coordinates fall into
buckets of 4 KiB; three levels of maxima, 32 entries to one above, lead to the first bucket that has room.
"""

from bisect import bisect_right
from collections.abc import Iterator
from typing import Final

_BUCKET_SHIFT: Final = 12
_FAN_SHIFT: Final = 5
_FAN: Final = 1 << _FAN_SHIFT


class FirstFit:
    """The free blocks of a heap: header address → size."""

    def __init__(self) -> None:
        self._buckets: list[dict[int, int]] = []
        self._levels: Final[tuple[list[int], list[int], list[int]]] = ([], [], [])
        # Regions that touch in the order of their expansions are one run.
        self._starts: list[int] = []
        self._runs: list[tuple[int, int, int]] = []  # start, end, coordinate of start
        self._delta = 0  # address − coordinate of the only run; unused when there are several
        self._several = False

    def extend(self, start: int, end: int) -> None:
        """A region [start, end) joins the heap's end."""
        size = len(self._buckets) << _BUCKET_SHIFT
        self._buckets += [{} for _ in range((end - start) >> _BUCKET_SHIFT)]
        wanted = len(self._buckets)
        for level in self._levels:
            level.extend([0] * (-(-wanted >> _FAN_SHIFT << _FAN_SHIFT) - len(level)))
            wanted = -(-wanted >> _FAN_SHIFT)
        if self._runs and self._runs[-1][1] == start:
            first, _, coordinate = self._runs[-1]
            self._runs[-1] = first, end, coordinate
        else:
            self._runs.append((start, end, size))
        self._several = len(self._runs) > 1
        self._delta = start - size
        self._runs_by_start = sorted(self._runs)
        self._starts = [run[0] for run in self._runs_by_start]

    def _bucket(self, block: int) -> int:
        if not self._several:
            return (block - self._delta) >> _BUCKET_SHIFT
        start, _, coordinate = self._runs_by_start[bisect_right(self._starts, block) - 1]
        return (block - start + coordinate) >> _BUCKET_SHIFT

    def position(self, block: int) -> int:
        """A block's coordinate: blocks earlier in the list have a lower one."""
        if not self._several:
            return block - self._delta
        start, _, coordinate = self._runs_by_start[bisect_right(self._starts, block) - 1]
        return block - start + coordinate

    def add(self, block: int, size_bytes: int) -> None:
        """A block becomes free, or a free one has another size."""
        bucket = self._bucket(block)
        blocks = self._buckets[bucket]
        old = blocks.get(block, 0)
        blocks[block] = size_bytes
        low = self._levels[0]
        if size_bytes >= low[bucket]:
            low[bucket] = size_bytes
            self._raise(bucket, size_bytes)
        elif old == low[bucket]:
            self._lower(bucket)

    def remove(self, block: int) -> None:
        """A free block is taken or absorbed."""
        bucket = self._bucket(block)
        if self._buckets[bucket].pop(block) == self._levels[0][bucket]:
            self._lower(bucket)

    def _raise(self, index: int, size_bytes: int) -> None:
        for level in self._levels[1:]:
            index >>= _FAN_SHIFT
            if level[index] >= size_bytes:
                return
            level[index] = size_bytes

    def _lower(self, bucket: int) -> None:
        """A bucket's maximum may have fallen."""
        blocks = self._buckets[bucket]
        below = self._levels[0]
        new = max(blocks.values()) if blocks else 0
        if new == below[bucket]:
            return
        below[bucket] = new
        index = bucket >> _FAN_SHIFT
        for level in self._levels[1:]:
            start = index << _FAN_SHIFT
            new = max(below[start : start + _FAN])
            if new == level[index]:
                return
            level[index] = new
            below, index = level, index >> _FAN_SHIFT

    def first(self, size_bytes: int) -> int:
        """The first free block of at least `size_bytes`; 0 when there is none."""
        low, middle, high = self._levels
        index = next((top for top, most in enumerate(high) if most >= size_bytes), -1)
        if index < 0:
            return 0
        index <<= _FAN_SHIFT
        while middle[index] < size_bytes:
            index += 1
        index <<= _FAN_SHIFT
        while low[index] < size_bytes:
            index += 1
        blocks = self._buckets[index]
        if len(blocks) == 1:
            return next(iter(blocks))
        return min([block for block, size in blocks.items() if size >= size_bytes])

    def fits(self, size_bytes: int) -> Iterator[tuple[int, int]]:
        """All free blocks of at least `size_bytes` in list order; the heap must not change meanwhile."""
        for bucket, most in enumerate(self._levels[0]):
            if most >= size_bytes:
                for block, size in sorted(self._buckets[bucket].items()):
                    if size >= size_bytes:
                        yield block, size

    def sizes(self) -> dict[int, int]:
        """All free blocks: header address → size."""
        return {block: size for blocks in self._buckets for block, size in blocks.items()}
