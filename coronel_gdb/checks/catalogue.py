"""The stable codes of findings. A code is never given a second meaning."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Code:
    """One kind of finding: `title` for the report, `meaning` for its documentation."""

    code: str
    title: str
    meaning: str


HEADER: Final = Code(
    "HEAP001", "block header overwritten", "Several fields of one header contradict the blocks around it."
)
MAGIC: Final = Code(
    "HEAP002", "magic value destroyed", "The magic is neither HEAP_MAGIC_FREE nor HEAP_MAGIC_USED."
)
STATE: Final = Code("HEAP003", "state and magic disagree", "is_free says one thing, the magic another.")
SIZE: Final = Code(
    "HEAP004",
    "size does not lead to the next block",
    "header + size ends neither at a block nor at a region's end.",
)
LINK: Final = Code(
    "HEAP005", "list link broken", "next or prev is not the neighbour that everything else implies."
)
CYCLE: Final = Code(
    "HEAP006", "block list is a cycle", "next leads back to a block that comes earlier in the list."
)
UNMERGED: Final = Code(
    "HEAP007", "free neighbours not merged", "Two free blocks touch; free always coalesces."
)
COUNTER: Final = Code(
    "HEAP008", "heap counter wrong", "A field of the heap object differs from the recount over its blocks."
)
LOST: Final = Code("HEAP009", "blocks lost", "The list ends although the heap's regions go on.")
ALIGNMENT: Final = Code("HEAP010", "block misaligned", "A header's address is not a multiple of 16.")

FRAME_PLACE: Final = Code(
    "FRAME001", "node outside the node array", "A node of the free list is no element of nodes_."
)
FRAME_OWNER: Final = Code("FRAME002", "node names another frame", "node.address is not 4096 × its index.")
FRAME_UNMANAGED: Final = Code(
    "FRAME003", "frame may not be free", "A free frame lies outside all managed ranges."
)
FRAME_CYCLE: Final = Code(
    "FRAME004", "free list is a cycle", "A node is linked twice: its frame would be handed out twice."
)
FRAME_COUNT: Final = Code(
    "FRAME005", "free_count_ wrong", "The kernel's counter differs from the nodes in the list."
)
FRAME_LOST: Final = Code("FRAME006", "free frames lost", "Nodes that carry an address are not in the list.")
FRAME_LINK: Final = Code(
    "FRAME007", "free list link broken", "previous points to nothing that can be a node."
)

REGION_ALIGNED: Final = Code(
    "REGION001", "region not whole pages", "A free region is empty or not page aligned."
)
REGION_INSIDE: Final = Code(
    "REGION002", "region outside its space", "A free region reaches out of the manager's space."
)
REGION_ORDER: Final = Code(
    "REGION003", "regions overlap or touch", "Free regions are not ascending, or overlap, or were not merged."
)
REGION_LINK: Final = Code(
    "REGION004", "region list link broken", "next, prev or last_ is not the node it must be."
)
REGION_COUNT: Final = Code("REGION005", "region count wrong", "count_ differs from the nodes in the list.")

PAGE_RIGHTS: Final = Code(
    "PAGE001", "page writable and executable", "Effective rights allow writing and running."
)
PAGE_USER: Final = Code(
    "PAGE002", "kernel page open to ring 3", "A page of the upper half has the user bit at every level."
)
PAGE_NULL: Final = Code("PAGE003", "null guard mapped", "A page below 4 MiB is mapped.")

TRACE_DIVERGENT: Final = Code(
    "TRACE001",
    "divergent operation",
    "The first recorded operation that does something else than the model after the same operations.",
)
TRACE_UNEXPLAINED: Final = Code(
    "TRACE002",
    "bytes that no operation explains",
    "A structure does not hold what the recorded operations leave there: something else wrote to it.",
)
TRACE_RECORD: Final = Code(
    "TRACE003",
    "trace record damaged",
    "A place of the ring holds no record that the kernel can have written.",
)
TRACE_IMPOSSIBLE: Final = Code(
    "TRACE004",
    "impossible operation",
    "A record contradicts the specification whatever came before the part of the trace that is kept.",
)
TRACE_MISUSE: Final = Code(
    "TRACE005",
    "allocator misused",
    "Kernel and model refuse the same operation: its caller gave back what it does not have.",
)
TRACE_FREE_MAPPED: Final = Code(
    "TRACE006", "frame freed while mapped", "An operation freed a frame to which a page still leads."
)
