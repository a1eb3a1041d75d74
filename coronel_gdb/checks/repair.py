"""Whether the expected values make a damaged heap sound again: tried on a copy, never on the target."""

from collections.abc import Container, Sequence
from dataclasses import replace
from typing import Any

from coronel_gdb.lift.heap import LiftedHeap
from model.invariants.base import Invariant, Violation
from model.invariants.heap import check_heap
from model.records import Heap, HeapBlock, HeapRules

_BLOCK_FIELDS = {"size": "size_bytes", "is_free": "is_free", "next": "next", "prev": "prev", "magic": "magic"}
_HEAP_FIELDS = frozenset(field for field in Heap.__slots__ if field not in ("address", "errors", "locked"))


def is_sound_with(
    lifted: LiftedHeap,
    violations: Sequence[Violation],
    rules: HeapRules,
    not_kept: Container[Invariant] = (),
) -> bool:
    """Whether all invariants hold once every violated field has its expected value.

    False when a value is not known, when blocks are missing, or when the repaired heap breaks another rule.
    `not_kept` are rules about counters that a heap of this kind does not have.
    """
    if lifted.end is not None or any(violation.expected is None for violation in violations):
        return False
    positions: dict[int, int] = {block.address: index for index, block in enumerate(lifted.blocks)}
    heap, blocks = lifted.heap, list(lifted.blocks)
    for violation in violations:
        if violation.subject == heap.address and violation.field in _HEAP_FIELDS:
            change: dict[str, Any] = {violation.field: violation.expected}
            heap = replace(heap, **change)
        elif violation.subject in positions and violation.field in _BLOCK_FIELDS:
            index = positions[violation.subject]
            blocks[index] = _with(blocks[index], violation)
        else:
            return False
    judged = check_heap(heap, blocks, rules, memory_end=lifted.memory_end)
    return all(violation.invariant in not_kept for violation in judged.violations)


def _with(block: HeapBlock, violation: Violation) -> HeapBlock:
    change: dict[str, Any] = {_BLOCK_FIELDS[violation.field]: violation.expected}
    return replace(block, **change)
