"""Which operation read a block's header last: damage that it would have refused came later.

Only what an operation is sure to look at counts (docs/spec.md §7.4 to §7.6): the walk of `malloc` up to
the block that it takes, and the neighbours that `free` and `realloc` ask. So the bound may be early, never
late.
"""

from dataclasses import dataclass, field
from typing import Final

from model.fast.blocks import FastBlocks
from model.fast.machine import FastMachine
from model.layouts import PROCESS
from model.records import HeapBlock, HeapRules
from model.trace import Operation, TraceRecord

RULES: Final = HeapRules()


@dataclass(slots=True)
class LastTouch:
    """A watch for `replay`: of each wanted header, the last record whose operation looked at it."""

    wanted: tuple[int, ...]
    frees_count: bool
    """Whether a `free` proves anything: it is void, so a refusal for corruption would not show."""
    last: dict[int, TraceRecord] = field(default_factory=dict)

    def __call__(self, machine: FastMachine, record: TraceRecord) -> None:
        """Note what an operation is about to look at."""
        heap = machine.heap
        looked_at = self._looked_at(heap, record)
        for block in self.wanted if looked_at is None else looked_at:
            if block in self.wanted:
                self.last[block] = record

    def _looked_at(self, heap: FastBlocks, record: TraceRecord) -> set[int] | None:
        """The wanted headers that an operation reads; None for the whole list."""
        match record.operation:
            case Operation.HEAP_MALLOC:
                return self._walk(heap, record.first)
            case Operation.HEAP_CALLOC:
                return self._walk(heap, record.first * record.second)
            case Operation.HEAP_REALLOC if record.first == 0:
                return self._walk(heap, record.second)
            case Operation.HEAP_REALLOC if record.second and record.result:
                around = _around(heap, record.first)
                rest = record.first + (record.second + 15 & ~15)
                return around | {rest}
            case Operation.PROCESS_CREATE if record.result:
                return self._walk(heap, PROCESS.size_bytes)
            case Operation.HEAP_FREE if self.frees_count:
                return _around(heap, record.first)
        return set()

    def _walk(self, heap: FastBlocks, size_bytes: int) -> set[int] | None:
        size = size_bytes + 15 & ~15
        if size == 0:
            return set()
        taken = heap.index.first(size)
        if not taken:
            return None
        position = heap.index.position(taken)
        passed = {
            block for block in self.wanted if block in heap.sizes and heap.index.position(block) <= position
        }
        end = taken + RULES.header_bytes + (heap.sizes[taken] & ~1)
        return passed | {end, taken + RULES.header_bytes + size}


def _around(heap: FastBlocks, pointer: int) -> set[int]:
    """A used block and its neighbours in the list."""
    block = pointer - RULES.header_bytes
    word = heap.sizes.get(block, 0)
    if not word & 1:
        return set()
    after = block + RULES.header_bytes + word - 1
    return {block, heap.before[block], after}


def would_be_refused(found: HeapBlock, expected: HeapBlock, heap_end: int) -> bool:
    """Whether an operation that looks at a damaged header is sure to notice (§7.3, §7.3a).

    A wrong `size` that is still a possible one goes unnoticed; everything else does not.
    """
    state = {RULES.magic_free: 1, RULES.magic_used: 0}.get(found.magic)
    size = found.size_bytes
    possible = size >= RULES.minimum_bytes and not size % RULES.alignment_bytes
    ends = found.address + RULES.header_bytes + size
    if state is None or found.is_free != state or not possible or ends > heap_end:
        return True
    return (found.next, found.prev) != (expected.next, expected.prev)
