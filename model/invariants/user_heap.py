"""Invariants of a process's heap (docs/spec.md §15.3): the allocator's object, and its blocks in list order.

The process can overwrite every header: a violation in a block can be its doing, one in the object cannot.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Final

from model.address_space import USER_HEAP_LIMIT, USER_HEAP_START
from model.invariants.base import Invariant, Verdict, Violation
from model.records import HeapBlock, HeapRules, UserHeap
from model.types import PAGE_BYTES, is_aligned

EXTENT: Final = Invariant(
    "user_heap.extent",
    "0x8000000 <= heap_start_ <= heap_current_ <= heap_limit_ = 0x40000000, all multiples of 4096",
    "§14.4, §15.3: the heap's window, in whole pages",
)
DIRECTORY: Final = Invariant(
    "user_heap.page_directory", "page_directory_ is the process's", "§15.3: blocks are reached through it"
)
FIRST: Final = Invariant(
    "user_heap.first",
    "first_block_ is 0, or heap_start_",
    "§15.3–15.4: blocks begin where the heap does; before the first there is none",
)
STATE: Final = Invariant(
    "user_heap.state", "(is_free, magic) is (1, FREE) or (0, USED)", "§7.3: every header says it twice"
)
TILES: Final = Invariant(
    "user_heap.tiles",
    "block + 48 + size = next block, of the last one heap_current_",
    "§15.3: blocks tile [heap_start_, heap_current_), sizes are multiples of 16 and at least 16",
)
LINKS: Final = Invariant(
    "user_heap.links", "next is the block that follows, prev the one before", "§7.2: doubly linked"
)
END: Final = Invariant(
    "user_heap.end",
    "the list ends with null after at most (heap_current_ − heap_start_) / 64 blocks",
    "§15.3: a block has at least 64 bytes",
)
UNMERGED: Final = Invariant("user_heap.unmerged", "no two neighbours are both free", "§7.5: free coalesces")
NUM_BLOCKS: Final = Invariant("user_heap.num_blocks", "num_blocks_ = blocks in the list", "§15.3")
TOTAL_ALLOCATED: Final = Invariant(
    "user_heap.total_allocated", "total_allocated_ = sum of size over used blocks", "§15.3"
)

ALL: Final = (
    EXTENT,
    DIRECTORY,
    FIRST,
    STATE,
    TILES,
    LINKS,
    END,
    UNMERGED,
    NUM_BLOCKS,
    TOTAL_ALLOCATED,
)


def check_user_heap(
    heap: UserHeap, blocks: Sequence[HeapBlock], rules: HeapRules, directory: int, *, stop: int = 0
) -> Verdict:
    """Judge a heap whose process has `directory`; `blocks` in list order, each once, with their raw values.

    `stop` is the pointer at which following them ended, 0 for a list that ends with null; what needs the
    whole list is then not judged.
    """
    verdict = Verdict(evaluated=len(ALL))
    _check_object(heap, directory, verdict)
    for index, block in enumerate(blocks):
        before = blocks[index - 1] if index else None
        after = blocks[index + 1] if index + 1 < len(blocks) else None
        _check_block(heap, block, before, after, rules, verdict, last=not stop and after is None)
    if stop:
        subject = blocks[-1].address if blocks else heap.address
        again = any(block.address == stop for block in blocks)
        because = "it is in the list already: the list is a cycle" if again else "no block can be there"
        verdict.violations.append(Violation(END, subject, "next", stop, None, because))
        verdict.unchecked += [
            (invariant, "not all blocks are known") for invariant in (NUM_BLOCKS, TOTAL_ALLOCATED)
        ]
        return verdict
    used = sum(block.size_bytes for block in blocks if block.magic == rules.magic_used)
    for invariant, found, expected in (
        (NUM_BLOCKS, heap.num_blocks, len(blocks)),
        (TOTAL_ALLOCATED, heap.total_allocated, used),
    ):
        if found != expected:
            name = invariant.id.removeprefix("user_heap.")
            because = f"{len(blocks)} blocks are in the list"
            verdict.violations.append(Violation(invariant, heap.address, name, found, expected, because))
    return verdict


def _check_object(heap: UserHeap, directory: int, verdict: Verdict) -> None:
    bounds = (USER_HEAP_START, heap.heap_start, heap.heap_current, heap.heap_limit, USER_HEAP_LIMIT)
    ordered = all(low <= high for low, high in pairwise(bounds))
    whole = all(is_aligned(bound, PAGE_BYTES) for bound in bounds)
    if not ordered or not whole or heap.heap_limit != USER_HEAP_LIMIT:
        because = f"the heap is {heap.heap_start:#x}..{heap.heap_current:#x}, at most {heap.heap_limit:#x}"
        verdict.violations.append(
            Violation(EXTENT, heap.address, "heap_current", heap.heap_current, None, because)
        )
    if heap.page_directory != directory:
        found = heap.page_directory
        because = "the process has it"
        verdict.violations.append(
            Violation(DIRECTORY, heap.address, "page_directory", found, directory, because)
        )
    if heap.first_block not in (0, heap.heap_start):
        because, start = "the heap begins there", heap.heap_start
        verdict.violations.append(
            Violation(FIRST, heap.address, "first_block", heap.first_block, start, because)
        )


def _check_block(
    heap: UserHeap,
    block: HeapBlock,
    before: HeapBlock | None,
    after: HeapBlock | None,
    rules: HeapRules,
    verdict: Verdict,
    *,
    last: bool,
) -> None:
    def judge(invariant: Invariant, name: str, found: int, expected: int | None, because: str) -> None:
        verdict.violations.append(Violation(invariant, block.address, name, found, expected, because))

    state = (block.is_free, block.magic)
    if state not in ((1, rules.magic_free), (0, rules.magic_used)):
        judge(STATE, "magic", block.magic, None, f"is_free is {block.is_free}")
    end = block.address + rules.header_bytes + block.size_bytes
    sound = block.size_bytes >= rules.minimum_bytes and is_aligned(block.size_bytes, rules.alignment_bytes)
    expected_end = after.address if after is not None else heap.heap_current if last else end
    if not sound or end != expected_end:
        implied = expected_end - block.address - rules.header_bytes
        judge(TILES, "size", block.size_bytes, max(implied, 0), f"{expected_end:#x} follows")
    before_address = before.address if before is not None else 0
    if block.prev != before_address:
        judge(LINKS, "prev", block.prev, before_address, "it comes before in the list")
    if before is not None and before.magic == block.magic == rules.magic_free:
        judge(UNMERGED, "is_free", block.is_free, None, f"{before.address:#x} is free, too")
