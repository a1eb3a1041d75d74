"""Invariants of a heap (docs/spec.md §7): one heap object and its blocks in list order."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Final

from model.invariants.base import Invariant, Quirk, Verdict, Violation
from model.records import Heap, HeapBlock, HeapRules
from model.types import PAGE_BYTES, U64_MASK, is_aligned

MAGIC: Final = Invariant(
    "heap.magic",
    "magic is HEAP_MAGIC_FREE or HEAP_MAGIC_USED",
    "§7.3: every header carries one of two values",
)
STATE: Final = Invariant("heap.state", "is_free = (magic is HEAP_MAGIC_FREE)", "§7.3: (1, FREE) or (0, USED)")
SIZE: Final = Invariant(
    "heap.size",
    "block + header + size = next block, or the end of a region",
    "§7.2: blocks tile their region, sizes are multiples of 16 and at least 16",
)
NEXT: Final = Invariant("heap.next", "next is the block that follows", "§7.2: doubly linked in address order")
PREV: Final = Invariant("heap.prev", "prev is the block before", "§7.2: doubly linked in address order")
ALIGNMENT: Final = Invariant(
    "heap.alignment", "a header's address is a multiple of 16", "§7.1: data is 16-byte aligned"
)
UNMERGED: Final = Invariant(
    "heap.unmerged", "no two blocks that touch are both free", "§7.5: free coalesces on both sides"
)
FIRST: Final = Invariant(
    "heap.first", "first_block_ is the block that no other links to", "§7.2: the list's head"
)
TOTAL_ALLOCATED: Final = Invariant(
    "heap.total_allocated", "total_allocated_ = sum of size over used blocks", "§7.2: always exactly"
)
TOTAL_FREE: Final = Invariant(
    "heap.total_free", "total_free_ = sum of size over free blocks", "§7.2: always exactly"
)
LIVE: Final = Invariant(
    "heap.live", "num_allocations_ − num_frees_ = number of used blocks", "§7.4–7.6: each counts one block"
)
HEAP_SIZE: Final = Invariant(
    "heap.heap_size", "heap_size_ = sum of header + size over all blocks", "§7.2: regions are tiled"
)
HEAP_START: Final = Invariant(
    "heap.heap_start", "heap_start_ = lowest block address", "§7.2: lowest address of any region"
)
HEAP_END: Final = Invariant(
    "heap.heap_end", "heap_end_ = highest block end", "§7.2: highest end of any region"
)

PER_BLOCK: Final = (MAGIC, STATE, SIZE, NEXT, PREV, ALIGNMENT, UNMERGED)
PER_HEAP: Final = (FIRST, TOTAL_ALLOCATED, TOTAL_FREE, LIVE, HEAP_SIZE, HEAP_START, HEAP_END)


def check_heap(
    heap: Heap,
    blocks: Sequence[HeapBlock],
    rules: HeapRules,
    *,
    complete: bool = True,
    memory_end: int | None = None,
    gaps: Collection[int] = (),
) -> Verdict:
    """Judge a heap; `blocks` are in true list order, damaged headers included with their raw values.

    No block reaches beyond `memory_end`; without it, beyond what the heap object says.
    `complete` says whether these are all blocks; otherwise what is a sum over all of them is not judged.
    `gaps` are indices before which blocks may lie that could not be read: nothing is judged across them.
    Totals are recounted with the implied value where a block's own is damaged, so that one damaged
    header is not reported a second time as a wrong total.
    """
    verdict = Verdict()
    limit = heap.heap_end if memory_end is None else memory_end
    sizes: list[int | None] = []
    frees: list[bool | None] = []
    for index, block in enumerate(blocks):
        before = blocks[index - 1] if index else None
        after = blocks[index + 1] if index + 1 < len(blocks) else None
        frees.append(_check_state(block, rules, verdict))
        if index + 1 in gaps:
            sizes.append(None)
        elif after is not None or complete:
            stop = after.address if after is not None else _list_end(heap, block, sizes, rules, limit)
            sizes.append(_check_size(limit, block, after, stop, rules, verdict))
            _check_link(block, NEXT, block.next, after, verdict)
        else:
            sizes.append(None)
        if index not in gaps:
            _check_link(block, PREV, block.prev, before, verdict)
        if not is_aligned(block.address, rules.alignment_bytes):
            verdict.violations.append(Violation(ALIGNMENT, block.address, "address", block.address, None, ""))
        if (
            index
            and frees[-1]
            and frees[-2]
            and blocks[index - 1].address + rules.header_bytes + (sizes[-2] or 0) == block.address
        ):
            because = f"{blocks[index - 1].address:#x} ends here and is free too"
            verdict.violations.append(
                Violation(UNMERGED, block.address, "is_free", block.is_free, None, because)
            )
    verdict.evaluated += len(PER_BLOCK) * len(blocks)
    if 0 in gaps:
        verdict.unchecked.append((FIRST, "not all blocks are known"))
    else:
        _check_first(heap, blocks, verdict)
    _check_totals(heap, blocks, sizes, frees, rules, verdict, complete=complete and not gaps)
    return verdict


def sound_verdict(count: int) -> Verdict:
    """The verdict over a heap of `count` blocks of which everything was proved."""
    return Verdict(evaluated=len(PER_BLOCK) * count + len(PER_HEAP))


def _check_state(block: HeapBlock, rules: HeapRules, verdict: Verdict) -> bool | None:
    """Whether the block is free; None when neither its magic nor its state byte can be believed."""
    by_magic = {rules.magic_free: True, rules.magic_used: False}.get(block.magic)
    by_state = {1: True, 0: False}.get(block.is_free)
    if by_magic is None and not rules.state_apart:
        verdict.violations.append(Violation(MAGIC, block.address, "magic", block.magic, None, ""))
        return None
    if by_magic is None:
        implied = None if by_state is None else rules.magic_free if by_state else rules.magic_used
        because = "" if by_state is None else f"is_free is {block.is_free}"
        verdict.violations.append(Violation(MAGIC, block.address, "magic", block.magic, implied, because))
        if by_state is None:
            verdict.violations.append(Violation(STATE, block.address, "is_free", block.is_free, None, ""))
        return by_state
    if by_state != by_magic:
        name = "HEAP_MAGIC_FREE" if by_magic else "HEAP_MAGIC_USED"
        because = f"its magic is {name}"
        verdict.violations.append(
            Violation(STATE, block.address, "is_free", block.is_free, int(by_magic), because)
        )
    return by_magic


def _list_end(heap: Heap, last: HeapBlock, before: Sequence[int | None], rules: HeapRules, limit: int) -> int:
    """Where the last block of the list must end: what is left of heap_size_, or else the heap's end."""
    known = [size for size in before if size is not None]
    left = heap.heap_size - sum(known) - rules.header_bytes * len(before)
    end = last.address + left
    sound = len(known) == len(before) and left > 0 and is_aligned(end, PAGE_BYTES) and end <= limit
    return end if sound else limit


def _check_size(
    limit: int, block: HeapBlock, after: HeapBlock | None, stop: int, rules: HeapRules, verdict: Verdict
) -> int | None:
    """The size that the block must have; None when it is wrong and nothing implies the right one."""
    end = block.address + rules.header_bytes + block.size_bytes
    sound = block.size_bytes >= rules.minimum_bytes and is_aligned(block.size_bytes, rules.alignment_bytes)
    if sound and after is not None and end == after.address:
        return block.size_bytes
    at_edge = is_aligned(end, PAGE_BYTES) and end <= limit
    if sound and at_edge and (after is None or is_aligned(after.address, PAGE_BYTES)):
        return block.size_bytes  # the end of a region
    implied = stop - block.address - rules.header_bytes
    plausible = implied >= rules.minimum_bytes and is_aligned(implied, rules.alignment_bytes)
    expected = implied if plausible else None
    what = f"the next block is at {stop:#x}" if after is not None else f"its region ends at {stop:#x}"
    verdict.violations.append(
        Violation(SIZE, block.address, "size", block.size_bytes, expected, what if plausible else "")
    )
    return expected


def _check_link(
    block: HeapBlock, invariant: Invariant, found: int, neighbour: HeapBlock | None, verdict: Verdict
) -> None:
    expected = neighbour.address if neighbour is not None else 0
    if found == expected:
        return
    side = "follows" if invariant is NEXT else "comes before"
    because = f"{expected:#x} {side} in the list" if expected else f"no block {side}"
    verdict.violations.append(
        Violation(invariant, block.address, invariant.id.removeprefix("heap."), found, expected, because)
    )


def _check_first(heap: Heap, blocks: Sequence[HeapBlock], verdict: Verdict) -> None:
    first = blocks[0].address if blocks else 0
    verdict.evaluated += 1
    if heap.first_block != first:
        because = f"the list starts at {first:#x}"
        field_name = FIRST.id.removeprefix("heap.")
        verdict.violations.append(
            Violation(FIRST, heap.address, field_name, heap.first_block, first, because)
        )


def _check_totals(
    heap: Heap,
    blocks: Sequence[HeapBlock],
    sizes: Sequence[int | None],
    frees: Sequence[bool | None],
    rules: HeapRules,
    verdict: Verdict,
    *,
    complete: bool,
) -> None:
    """The heap object's own fields against a recount."""

    def judge(invariant: Invariant, found: int, expected: int, because: str) -> None:
        _judge(verdict, heap, invariant, found, expected, because)

    for invariant, edge in ((HEAP_START, heap.heap_start), (HEAP_END, heap.heap_end)):
        if not is_aligned(edge, PAGE_BYTES):
            name = invariant.id.removeprefix("heap.")
            verdict.violations.append(
                Violation(invariant, heap.address, name, edge, None, "regions are whole pages")
            )
    known_sizes = [size for size in sizes if size is not None]
    total = sum(known_sizes) + rules.header_bytes * len(blocks)
    sized = complete and len(known_sizes) == len(blocks)
    counted = replace(heap, heap_size=total) if sized else heap
    """As the blocks say: a wrong `heap_size` is no other field's fault."""
    kept = [*_kept(counted, rules, verdict)]
    if not complete:
        verdict.unchecked += [(invariant, "not all blocks are known") for invariant in kept]
        return
    if sized:
        extents = sorted(
            (int(block.address), block.address + rules.header_bytes + size)
            for block, size in zip(blocks, known_sizes, strict=True)
        )
        highest = max((end for _, end in extents), default=0)
        judge(HEAP_SIZE, heap.heap_size, total, f"{len(blocks)} blocks add up to it")
        if not _end_is_fixed(counted, extents, rules, verdict):
            judge(HEAP_END, heap.heap_end, highest, "the highest block ends there")
    else:
        verdict.unchecked += [
            (HEAP_SIZE, "a block's size is unknown"),
            (HEAP_END, "a block's size is unknown"),
        ]
    lowest = min((block.address for block in blocks), default=0)
    judge(HEAP_START, heap.heap_start, lowest, "the lowest block is there")
    if any(free is None for free in frees):
        verdict.unchecked += [
            (invariant, "a block's state is unknown")
            for invariant in (LIVE, TOTAL_ALLOCATED, TOTAL_FREE)
            if invariant in kept
        ]
        return
    used = frees.count(False)
    if LIVE in kept:
        live = (heap.num_allocations - heap.num_frees) & U64_MASK
        judge(LIVE, live, used, f"{used} blocks are used")
    _check_sums(counted, sizes, frees, kept, rules, verdict)


def _check_sums(
    heap: Heap,
    sizes: Sequence[int | None],
    frees: Sequence[bool | None],
    kept: Collection[Invariant],
    rules: HeapRules,
    verdict: Verdict,
) -> None:
    """The bytes in use and free as the heap object has them, against the blocks."""
    for invariant, found, state in (
        (TOTAL_ALLOCATED, heap.total_allocated, False),
        (TOTAL_FREE, heap.total_free, True),
    ):
        if invariant not in kept:
            continue
        mine = [size for size, free in zip(sizes, frees, strict=True) if free is state]
        if None in mine:
            verdict.unchecked.append((invariant, "a block's size is unknown"))
        elif state and _grew_unknown(rules, verdict):
            why = "heap_end is wrong, so nobody knows how often the heap grew"
            verdict.unchecked.append((invariant, why))
        else:
            right, because = sum(size for size in mine if size), f"the sum over {len(mine)} blocks"
            extra = headers_counted(heap, len(sizes), rules) if state else 0
            expected = (right + extra) & U64_MASK
            if extra:
                headers = f"{extra // rules.header_bytes:+,} headers of {rules.header_bytes} bytes"
                because += f" and {headers}"
                if found == expected:  # wrong by just what the kernel is known to do
                    name = invariant.id.removeprefix("heap.")
                    told = f"{headers} are counted, as splits and merges leave them"
                    verdict.quirks.append(Quirk(invariant, heap.address, name, found, right, told))
            _judge(verdict, heap, invariant, found, expected, because)


def _judge(
    verdict: Verdict, heap: Heap, invariant: Invariant, found: int, expected: int, because: str
) -> None:
    """One field of the heap object."""
    verdict.evaluated += 1
    if found != expected:
        name = invariant.id.removeprefix("heap.")
        verdict.violations.append(Violation(invariant, heap.address, name, found, expected, because))


def _grew_unknown(rules: HeapRules, verdict: Verdict) -> bool:
    """Whether a kernel that tells how often its heap grew by its end has a wrong one."""
    wrong = any(violation.invariant is HEAP_END for violation in verdict.violations)
    return rules.headers_in_total_free and rules.fixed_heap_end and wrong


def _end_is_fixed(heap: Heap, extents: Sequence[tuple[int, int]], rules: HeapRules, verdict: Verdict) -> bool:
    """Whether the heap's end is judged as that of the first region, as in a kernel with that quirk.

    `extents` are [start, end) of the blocks, ascending.
    """
    highest = max((end for _, end in extents), default=0)
    if not rules.fixed_heap_end or heap.heap_end == highest:
        return False
    verdict.evaluated += 1
    if any(violation.invariant is HEAP_END for violation in verdict.violations):
        return True  # it is wrong by itself
    because = ""
    first_gap = next((end for (_, end), (start, _) in pairwise(extents) if start != end), highest)
    if not heap.heap_start < heap.heap_end <= first_gap:
        because = f"the first region ends behind {heap.heap_start:#x}, and at {first_gap:#x} at the latest"
    elif rules.expansion_bytes and expansions_of(heap, rules) is None:
        because = (
            f"what the blocks have besides is no multiple of the {rules.expansion_bytes:,} of an expansion"
        )
    if because:
        verdict.violations.append(Violation(HEAP_END, heap.address, "heap_end", heap.heap_end, None, because))
        return True
    because = "an expansion of this kernel does not move it"
    verdict.quirks.append(Quirk(HEAP_END, heap.address, "heap_end", heap.heap_end, highest, because))
    return True


def expansions_of(heap: Heap, rules: HeapRules) -> int | None:
    """How often the heap grew: as it counts, or by its size where all grow by the same; None: unknown."""
    if "num_expansions" not in heap.unkept:
        return heap.num_expansions
    if not rules.fixed_heap_end or not rules.expansion_bytes or heap.heap_end <= heap.heap_start:
        return None
    grown, rest = divmod(heap.heap_size - (heap.heap_end - heap.heap_start), rules.expansion_bytes)
    return None if rest or grown < 0 else grown


def headers_counted(heap: Heap, blocks: int, rules: HeapRules) -> int:
    """The bytes by which `total_free` differs from the free bytes in a kernel with that quirk.

    Each split adds a block and counts its header as free, each merge removes one and does not; the first
    region and each expansion add a block by themselves.
    """
    expansions = expansions_of(heap, rules)
    if not rules.headers_in_total_free or expansions is None:
        return 0
    return rules.header_bytes * (blocks - 1 - expansions)


def _kept(heap: Heap, rules: HeapRules, verdict: Verdict) -> Iterator[Invariant]:
    """The rules about the heap object but the first; what it does not keep is noted."""
    needs = {TOTAL_ALLOCATED: ("total_allocated",), LIVE: ("num_allocations", "num_frees")}
    needs[TOTAL_FREE] = ("total_free",)
    if rules.headers_in_total_free and expansions_of(heap, rules) is None:
        needs[TOTAL_FREE] = ("total_free", "num_expansions")
    for invariant in PER_HEAP[1:]:
        absent = [name for name in needs.get(invariant, ()) if name in heap.unkept]
        if absent:
            verdict.unkept.append((invariant, absent[0]))
        else:
            yield invariant
