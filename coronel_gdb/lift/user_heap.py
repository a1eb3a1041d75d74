"""The heap of a process, read through its own tables, as the records of any heap (docs/spec.md §15.3)."""

from dataclasses import dataclass

from coronel_gdb.lift.heap import LiftedHeap, follow_heap
from coronel_gdb.lift.space import AddressSpace
from coronel_gdb.profiles.schema import HeapProfile
from model.invariants import heap as rules
from model.invariants.base import Invariant, Verdict, Violation
from model.records import Heap, Process, UserHeap

NUM_BLOCKS = Invariant("user_heap.num_blocks", "num_blocks_ = number of blocks", "§15.3: counts all blocks")
NOT_KEPT = (rules.LIVE, rules.TOTAL_FREE)  # a user heap keeps no such counters


@dataclass(slots=True)
class LiftedUserHeap:
    """A process's heap; `lifted` is None while it has no block."""

    process: Process
    lifted: LiftedHeap | None

    def verdict(self, profile: HeapProfile) -> Verdict:
        """The heap against the invariants of any heap, without counters that it does not keep."""
        if self.lifted is None:
            return self._without_blocks()
        verdict = self.lifted.verdict(profile)
        verdict.violations = [v for v in verdict.violations if v.invariant not in NOT_KEPT]
        verdict.unchecked = [row for row in verdict.unchecked if row[0] not in NOT_KEPT]
        verdict.evaluated -= len(NOT_KEPT) - 1
        heap, count = self.process.memory.heap, self.lifted.count
        if heap.num_blocks != count and self.lifted.end is None:
            because = f"{count} blocks are listed"
            verdict.violations.append(
                Violation(NUM_BLOCKS, heap.address, "num_blocks", heap.num_blocks, count, because)
            )
        return verdict

    def _without_blocks(self) -> Verdict:
        """A heap whose first_block_ is null has no block, and counts none."""
        heap, verdict = self.process.memory.heap, Verdict(evaluated=1)
        if heap.num_blocks or heap.total_allocated:
            because = f"first_block_ is null, and {heap.total_allocated} bytes are used"
            verdict.violations.append(
                Violation(NUM_BLOCKS, heap.address, "num_blocks", heap.num_blocks, 0, because)
            )
        return verdict


def lift_user_heap(space: AddressSpace, process: Process, profile: HeapProfile) -> LiftedUserHeap:
    """Read all blocks through `space`, which is the process's own; unreadable memory is a hole."""
    heap = process.memory.heap
    if not heap.first_block:
        return LiftedUserHeap(process, None)
    return LiftedUserHeap(process, follow_heap(space, _as_heap(heap), profile, blocks=heap.num_blocks))


def _as_heap(heap: UserHeap) -> Heap:
    return Heap(
        address=heap.address,
        heap_start=heap.heap_start,
        heap_end=heap.heap_current,
        heap_size=max(0, heap.heap_current - heap.heap_start),
        first_block=heap.first_block,
        total_allocated=heap.total_allocated,
        total_free=0,
        num_allocations=0,
        num_frees=0,
        num_expansions=0,
        errors=heap.errors,
        locked=heap.locked,
    )
