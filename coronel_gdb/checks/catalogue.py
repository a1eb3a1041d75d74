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
PAGE_NULL: Final = Code("PAGE003", "null guard mapped", "A page at null is mapped.")
PAGE_TABLE: Final = Code(
    "PAGE004", "page table mapped", "A page through which a page table can be changed, or ring 3 reaches one."
)
PAGE_FREE: Final = Code(
    "PAGE005", "free frame mapped", "A page leads to a frame that the frame allocator may hand out again."
)
PAGE_RESERVED: Final = Code(
    "PAGE006",
    "reserved bit in an entry",
    "A present entry that no walk can pass: every access through it faults.",
)
PAGE_LAYOUT: Final = Code(
    "PAGE007",
    "page where none may be",
    "Place, rights or physical address contradict docs/spec.md §2 or §14.4.",
)
PAGE_MISSING: Final = Code(
    "PAGE008", "page missing", "A part of the image, the stack or the placement area is not mapped."
)
PAGE_FAULT: Final = Code(
    "PAGE009",
    "fault and tables disagree",
    "The CPU faulted where the tables, as they are now, say otherwise.",
)
PAGE_WALKS: Final = Code(
    "PAGE010", "QEMU walks otherwise", "QEMU's own walk of the same tables ends elsewhere than this one."
)
