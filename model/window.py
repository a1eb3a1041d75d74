"""What the last records of a trace still prove when the first ones are lost.

Without the beginning nobody knows what was free. But a block that is given twice, a frame that is not the
one freed last, or two ranges that overlap contradict the specification whatever came before.
"""

from bisect import bisect_left, insort
from collections.abc import Iterable
from dataclasses import dataclass, field

from model.trace import Operation as O
from model.trace import TraceRecord

_HEADER_BYTES = 48
_MOST = 16  # contradictions: the first is what counts


@dataclass(frozen=True, slots=True)
class Contradiction:
    """A record that no allocator of docs/spec.md can have made, whatever came before the window."""

    record: TraceRecord
    why: str
    section: str


@dataclass(slots=True)
class _Held:
    """What was given in the window and not taken back: ranges that must not overlap."""

    starts: list[int] = field(default_factory=list)
    ends: dict[int, int] = field(default_factory=dict)

    def clash(self, start: int, end: int) -> int | None:
        """A held range that shares an address with [start, end); its start."""
        at = bisect_left(self.starts, end)
        if at and self.ends[self.starts[at - 1]] > start:
            return self.starts[at - 1]
        return None

    def give(self, start: int, end: int) -> None:
        """Hold [start, end) in place of all that it overlaps."""
        while (other := self.clash(start, end)) is not None:
            self.take(other)
        insort(self.starts, start)
        self.ends[start] = end

    def take(self, start: int) -> None:
        """Hold it no longer."""
        if self.ends.pop(start, None) is not None:
            del self.starts[bisect_left(self.starts, start)]


@dataclass(slots=True)
class Window:
    """The knowledge gathered from one record after the other."""

    proved: int = 0
    """Results that were compared with something known."""
    contradictions: list[Contradiction] = field(default_factory=list)
    _blocks: _Held = field(default_factory=_Held)
    _ranges: dict[int, _Held] = field(default_factory=dict)
    _frames: set[int] = field(default_factory=set)
    _freed: list[int] = field(default_factory=list)  # the known top of the frame list, its head last

    def _wrong(self, record: TraceRecord, why: str, section: str) -> None:
        if len(self.contradictions) < _MOST:
            self.contradictions.append(Contradiction(record, why, section))

    def see(self, record: TraceRecord) -> None:
        """Learn from a record, having compared it with what is known."""
        match record.operation:
            case O.HEAP_MALLOC:
                self._given(record, record.first)
            case O.HEAP_CALLOC:
                self._given(record, record.first * record.second)
            case O.HEAP_ALIGNED_ALLOC:
                self._given(record, record.second, record.first)
            case O.HEAP_REALLOC if record.result or not record.second:
                self._blocks.take(record.first - _HEADER_BYTES)
                self._given(record, record.second)
            case O.HEAP_FREE:
                self._blocks.take(record.first - _HEADER_BYTES)
            case O.PHYSICAL_ALLOC:
                self._frame_given(record)
            case O.PHYSICAL_FREE:
                self._frame_freed(record.first)
            case O.VIRT_ALLOC if record.result:
                self._range_given(record, record.first, record.second)
            case O.VIRT_ALLOC_AT if record.result:
                self._range_given(record, record.second, record.third)
            case O.VIRT_FREE:
                self._ranges.pop(record.third, None)  # parts of ranges may be freed: start anew
            case O.PROCESS_DESTROY:
                # §14.6: its mappings end with it, without a record; whose they were is not known here.
                self._ranges = {manager: held for manager, held in self._ranges.items() if _is_kernels(held)}

    def _given(self, record: TraceRecord, size_bytes: int, alignment: int = 16) -> None:
        if not record.result:
            return
        self.proved += 1
        start, end = record.result - _HEADER_BYTES, record.result + max(size_bytes, 1)
        if record.result % max(alignment, 16):
            self._wrong(record, f"{record.result:#x} is not aligned", "§7.1, §7.7")
        other = self._blocks.clash(start, end)
        if other is not None:
            self._wrong(
                record,
                f"[{start:#x}, {end:#x}) overlaps the block at {other + _HEADER_BYTES:#x}, still in use",
                "§7.2",
            )
        self._blocks.give(start, end)

    def _frame_given(self, record: TraceRecord) -> None:
        frame = record.result
        if self._freed:
            self.proved += 1
            expected = self._freed.pop()
            if frame != expected:
                self._wrong(record, f"the frame freed last is {expected:#x}", "§4.6, §4.7")
                self._freed.clear()
        elif frame in self._frames:
            self._wrong(record, f"frame {frame:#x} was given before and not freed since", "§4.6")
        if frame:
            self.proved += 1
            self._frames.add(frame)

    def _frame_freed(self, frame: int) -> None:
        if frame in self._frames:
            self._frames.remove(frame)
            self._freed.append(frame)
        elif frame not in self._freed:
            self._freed.clear()  # free already or not: it cannot be told whether it is the head now

    def _range_given(self, record: TraceRecord, size_bytes: int, manager: int) -> None:
        held = self._ranges.setdefault(manager, _Held())
        start, end = record.result, record.result + (size_bytes + 4095 & ~4095)
        self.proved += 1
        other = held.clash(start, end)
        if other is not None:
            self._wrong(record, f"[{start:#x}, {end:#x}) overlaps the range at {other:#x}", "§6.4, §6.5")
        held.give(start, end)


def _is_kernels(held: _Held) -> bool:
    """Whether ranges lie in the upper half."""
    return not held.starts or held.starts[0] >> 63 == 1


def examine(records: Iterable[TraceRecord]) -> Window:
    """All that the records prove by themselves."""
    window = Window()
    for record in records:
        window.see(record)
    return window
