"""A heap for ring 3, read through its own tables, as the records of any heap (docs/spec.md §15.3)."""

from dataclasses import dataclass

from coronel_gdb.errors import KernelError
from coronel_gdb.lift.heap import LiftedHeap, follow_heap
from coronel_gdb.lift.pointer import located
from coronel_gdb.lift.space import AddressSpace
from coronel_gdb.profiles.schema import HeapProfile
from coronel_gdb.protocols import Target
from model.invariants import heap as rules
from model.invariants.base import Invariant, Verdict, Violation
from model.records import Heap, UserHeap
from model.types import PhysicalAddress, VirtualAddress

NUM_BLOCKS = Invariant("user_heap.num_blocks", "num_blocks_ = number of blocks", "§15.3: counts all blocks")
NOT_KEPT = (rules.LIVE, rules.TOTAL_FREE)  # a user heap keeps no such counters


@dataclass(slots=True)
class LiftedUserHeap:
    """A heap for ring 3; `lifted` is None while it has no block."""

    heap: UserHeap
    lifted: LiftedHeap | None

    def verdict(self, profile: HeapProfile) -> Verdict:
        """The heap against the invariants of any heap, without counters that it does not keep."""
        if self.lifted is None:
            return self._without_blocks()
        verdict = self.lifted.verdict(profile)
        verdict.violations = [v for v in verdict.violations if v.invariant not in NOT_KEPT]
        verdict.unchecked = [row for row in verdict.unchecked if row[0] not in NOT_KEPT]
        verdict.evaluated -= len(NOT_KEPT) - 1
        heap, count = self.heap, self.lifted.count
        if "num_blocks" in heap.unkept:
            verdict.unkept.append((NUM_BLOCKS, "num_blocks"))
        elif heap.num_blocks != count and self.lifted.end is None and not self.lifted.gaps:
            because = f"{count} blocks are listed"
            verdict.violations.append(
                Violation(NUM_BLOCKS, heap.address, "num_blocks", heap.num_blocks, count, because)
            )
        return verdict

    def _without_blocks(self) -> Verdict:
        """A heap whose first_block_ is null has no block, and counts none."""
        heap, verdict = self.heap, Verdict(evaluated=1)
        if heap.num_blocks or heap.total_allocated:
            because = f"first_block_ is null, and {heap.total_allocated} bytes are used"
            verdict.violations.append(
                Violation(NUM_BLOCKS, heap.address, "num_blocks", heap.num_blocks, 0, because)
            )
        return verdict


def lift_user_heap(space: AddressSpace, heap: UserHeap, profile: HeapProfile) -> LiftedUserHeap:
    """Read all blocks through `space`, which is the heap's own; unreadable memory is a hole."""
    if not heap.first_block:
        return LiftedUserHeap(heap, None)
    return LiftedUserHeap(heap, follow_heap(space, _as_heap(heap), profile, blocks=heap.num_blocks))


def read_user_heap(target: Target, space: AddressSpace, profile: HeapProfile | None) -> UserHeap:
    """The heap of ring 3 that no process owns; `KernelError` when the profile knows none."""
    if profile is None or not profile.pointer:
        raise KernelError("no heap for ring 3 beside those of processes is known")
    address = located(target, space, profile.section, "user heap")
    data = space.read(address, profile.heap.size_bytes)
    values = profile.heap.decode(data)
    return UserHeap(
        address=address,
        heap_start=VirtualAddress(values["heap_start"]),
        heap_current=VirtualAddress(values["heap_current"]),
        heap_limit=VirtualAddress(values.get("heap_limit", 0)),
        first_block=VirtualAddress(values["first_block"]),
        page_directory=PhysicalAddress(space.root),
        total_allocated=values.get("total_allocated", 0),
        num_blocks=values.get("num_blocks", 0),
        errors=profile.heap.array(data, "errors"),
        locked=values.get("locked", 0),
        unkept=profile.heap.unnamed(UserHeap.__slots__) - {"page_directory"},
    )


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
        unkept=heap.unkept & {"total_allocated"},
    )
