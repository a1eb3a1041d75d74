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

HEAP_REFUSED: Final = Code(
    "HEAP011",
    "heap refused a bad call",
    "errors_ counts double frees, invalid pointers or corruption: the blocks may be sound, a caller is not.",
)
HEAP_LEAK: Final = Code(
    "HEAP012",
    "blocks lost to everybody",
    "No pointer to these used blocks is left where the kernel could find it.",
)
HEAP_PAGES: Final = Code(
    "HEAP013",
    "heap page with wrong rights",
    "A page of the heap is not readable and writable by the kernel alone.",
)

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

REGION_MAPPED: Final = Code(
    "REGION006", "free region is mapped", "A page lies in a region that the manager hands out again."
)
REGION_REFUSED: Final = Code(
    "REGION007",
    "virtual manager refused a bad call",
    "errors_ counts double frees, invalid pointers or corruption: the list may be sound, a caller is not.",
)

LAYOUT_SYMBOL: Final = Code(
    "LAYOUT001", "symbol not where it must be", "A section symbol contradicts the address map of the kernel."
)
LAYOUT_RIGHTS: Final = Code(
    "LAYOUT002",
    "page with other rights than its area",
    "Code must be R-X, constants R--, all else RW- for the kernel.",
)
LAYOUT_PLACE: Final = Code(
    "LAYOUT003",
    "page where none may be",
    "Low memory, the gap, the stack guard and all between areas stay unmapped.",
)
LAYOUT_MISSING: Final = Code("LAYOUT004", "page missing", "Image, stack and placement area are mapped whole.")
LAYOUT_LINEAR: Final = Code(
    "LAYOUT005", "page leads elsewhere", "Image and placement area are mapped at physical + KERNEL_BASE."
)
LAYOUT_STRUCTURE: Final = Code(
    "LAYOUT006",
    "structure laid out differently",
    "The kernel's DWARF and docs/spec.md §10 disagree on a structure.",
)
LAYOUT_SPACE: Final = Code(
    "LAYOUT007", "virtual manager has another space", "Kernel regions run from V0 to WINDOW_BASE."
)
LAYOUT_STACK: Final = Code(
    "LAYOUT008",
    "kernel stack overflowed",
    "CR2 lies in the guard below the kernel stack: the last fault was there.",
)

PAGE_RIGHTS: Final = Code(
    "PAGE001", "page writable and executable", "Effective rights of a kernel page allow writing and running."
)
PAGE_USER: Final = Code(
    "PAGE002", "kernel page open to ring 3", "A page of the upper half has the user bit at every level."
)
PAGE_NULL: Final = Code("PAGE003", "null guard mapped", "A page at null is mapped.")
PAGE_TABLE: Final = Code("PAGE004", "page table mapped", "A page through which ring 3 reaches a page table.")
PAGE_RESERVED: Final = Code(
    "PAGE006",
    "reserved bit in an entry",
    "A present entry that no walk can pass: every access through it faults.",
)
PAGE_FAULT: Final = Code(
    "PAGE009",
    "fault and tables disagree",
    "The CPU faulted where the tables, as they are now, say otherwise.",
)
PAGE_WALKS: Final = Code(
    "PAGE010", "QEMU walks otherwise", "QEMU's own walk of the same tables ends elsewhere than this one."
)

FRAME_FREE_MAPPED: Final = Code(
    "FRAME008",
    "free frame is mapped",
    "A frame of the free list is mapped as well: its next owner shares it with the old one.",
)
FRAME_FREE_TABLE: Final = Code(
    "FRAME009",
    "free frame is a page table",
    "The next owner of the frame would write the entries of a live table.",
)
FRAME_FREE_RESERVED: Final = Code(
    "FRAME010",
    "free frame is reserved memory",
    "A free frame is part of the kernel image, the placement area, boot information or the first MiB.",
)
FRAME_TABLE_MAPPED: Final = Code(
    "FRAME011", "page table is mapped", "A live page table can be written through an ordinary page."
)
FRAME_TABLE_FOREIGN: Final = Code(
    "FRAME012", "page table is no frame of the allocator", "A table lies where physical::alloc gives nothing."
)
FRAME_TWICE: Final = Code(
    "FRAME013",
    "frame mapped twice",
    "One space maps a frame at two addresses, or once more beside the linear map.",
)
FRAME_DEVICE: Final = Code(
    "FRAME014", "device is memory in use", "A device mapping leads to a frame that is mapped as memory too."
)
FRAME_UNOWNED: Final = Code(
    "FRAME015",
    "frames lost",
    "Managed frames are neither free nor a page table nor mapped: nobody can free them.",
)
FRAME_OUTSIDE: Final = Code(
    "FRAME017", "page leads outside RAM", "A page or table that is no device lies above the end of RAM."
)
FRAME_REFUSED: Final = Code(
    "FRAME016",
    "frame allocator refused a bad call",
    "errors_ counts double frees, invalid pointers or corruption: the list is sound, a caller is not.",
)

SPACE_USER_BIT: Final = Code(
    "SPACE001",
    "kernel entry marked for ring 3",
    "An entry of the kernel half has the user bit; only the levels above it may still say no.",
)
SPACE_UPPER: Final = Code(
    "SPACE002",
    "kernel half of a process differs",
    "The upper slots of a process's top table are not those of the kernel directory.",
)
SPACE_LOWER: Final = Code(
    "SPACE003",
    "kernel directory maps the lower half",
    "Slots 0 to 255 of the kernel directory must be empty.",
)
SPACE_TWO: Final = Code(
    "SPACE004",
    "frame in two processes",
    "What one process writes the other one reads, and each will free it.",
)
SPACE_TABLE: Final = Code(
    "SPACE005",
    "page table open to ring 3",
    "A process can write page table entries, its own rights among them.",
)
SPACE_KERNEL: Final = Code(
    "SPACE006",
    "kernel memory open to ring 3",
    "A page of a process leads to a frame that the kernel uses itself.",
)
SPACE_SHARED: Final = Code(
    "SPACE007", "page table in two places", "Two entries refer to one table, in one space or in two."
)
PROC_LIST: Final = Code(
    "PROC001", "process list broken", "The list does not end, leads to no process, or is not in order of pid."
)
PROC_FIELD: Final = Code(
    "PROC002",
    "process contradicts itself",
    "A field of a process lies outside what its address space allows.",
)
PROC_PAGES: Final = Code(
    "PROC003",
    "pages of a process are not what it says",
    "A page is mapped outside the process's ranges, with other rights, or is missing inside them.",
)

PROC_LEFT_OUT: Final = Code(
    "PROC004",
    "process left out of the list",
    "The kernel heap holds a process that g_process_list does not lead to: it never runs and never ends.",
)

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

REGION_SPARE: Final = Code(
    "REGION008",
    "pool of region nodes damaged",
    "Unused nodes are not zero, not as many as spare_count_ says, or the free list has one, too.",
)
PAGE_ENTRY: Final = Code(
    "PAGE011",
    "page table entry is none of the kernel's",
    "A present entry has bits, or lacks some, that the kernel never or always sets, or leads to no RAM.",
)
PAGE_UNUSED: Final = Code(
    "PAGE012", "unused page table entry not zero", "An entry that is not present holds something."
)
FRAME_MANAGER: Final = Code(
    "FRAME018",
    "frame manager contradicts the memory map",
    "The ranges, the nodes or the end of memory are not what the boot made of the loader's memory map.",
)
LOCK_WORD: Final = Code(
    "LOCK001", "lock word damaged", "A lock is 1 or 0; this one holds something that no CPU puts there."
)
BOOT_VARIABLE: Final = Code(
    "BOOT001",
    "variable is not what the boot left",
    "A pointer to a manager, kernel_directory_ or __placement holds something else.",
)
BOOT_MAP: Final = Code(
    "BOOT002",
    "copy of the memory map damaged",
    "RAM or reserved ranges cannot be so, or the managers were set up by others.",
)
NEXT_DEVICE: Final = Code(
    "BOOT003", "next device address wrong", "next_device_ is no address that mapio can have come to."
)
TRACE_RING: Final = Code(
    "TRACE007",
    "trace describes itself wrongly",
    "ring_ or capacity_ is not what the boot placed, or the records do not lie where next_ says.",
)
FRAME_SKIPPED: Final = Code(
    "FRAME019",
    "free list leaves nodes out",
    "A free node leads past the ones that must follow it: their frames are never handed out again.",
)
FRAME_TWICE_FREE: Final = Code(
    "FRAME020",
    "frame free twice",
    "Two nodes of the free list name one frame: it will be handed out to two owners.",
)

RUN_WRITTEN: Final = Code(
    "RUN001", "free page written to", "A free page holds other bytes than the junk that freeing it left."
)
RUN_LINK: Final = Code(
    "RUN002",
    "free page list broken",
    "The head or the link of a free page leads to no page that may be free.",
)
RUN_CYCLE: Final = Code(
    "RUN003", "free page list is a cycle", "A page is linked twice: two callers would be given it."
)
RUN_LOST: Final = Code(
    "RUN004", "free pages lost", "Pages that look free, with junk and a link, are not in the list."
)
RUN_COUNT: Final = Code(
    "RUN005", "free page counter wrong", "The kernel's counter differs from the pages in the list."
)

CHUNK_HEADER: Final = Code(
    "CHUNK001", "chunk header overwritten", "Several fields of one chunk contradict the chunks around it."
)
CHUNK_SIZE: Final = Code(
    "CHUNK002", "chunk size wrong", "The size leads neither to the next chunk nor to the arena's end."
)
CHUNK_FLAGS: Final = Code(
    "CHUNK003", "chunk flags wrong", "A flag contradicts the state of this chunk or of the one before."
)
CHUNK_TAG: Final = Code(
    "CHUNK004", "boundary tag destroyed", "prev_size behind a free chunk is not that chunk's size."
)
CHUNK_LINK: Final = Code(
    "CHUNK005", "bin link broken", "fd or bk of a free chunk, or of a bin, is not its neighbour in the bin."
)
CHUNK_CYCLE: Final = Code(
    "CHUNK006", "bin is a cycle", "A free chunk is its own neighbour: it would be given out again and again."
)
CHUNK_UNMERGED: Final = Code(
    "CHUNK007", "free chunks not merged", "Two free chunks touch, or one touches top; free coalesces."
)
CHUNK_UNBINNED: Final = Code(
    "CHUNK008", "free chunk in no bin", "A free chunk is in no bin, or top is in one: nobody can have it."
)
CHUNK_MEMBER: Final = Code(
    "CHUNK009", "used chunk in a bin", "A bin has a chunk that is in use: it will have a second owner."
)
CHUNK_COUNTER: Final = Code(
    "CHUNK010", "arena and chunks disagree", "A counter or top of the arena differs from what its chunks say."
)
CHUNK_LOST: Final = Code(
    "CHUNK011", "chunks lost", "Behind a damaged chunk nothing leads on, although the arena does."
)
