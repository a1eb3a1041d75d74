"""What is booted, and what is then damaged, to see each code."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from lab.corpus.snapshot import Stop
from lab.documents.examples.damages import (
    IMAGE,
    code_entry,
    device_of_memory,
    flag_cleared,
    flip,
    foreign_space,
    free_frame,
    given_twice,
    half_of_the_arena,
    head_forgotten,
    heap_page,
    leads,
    null_mapped,
    one_left_out,
    opened,
    other_result,
    plus,
    record_at,
    rest_lost,
    stack_entry,
    tail_to_head,
    touching,
    unmerged,
)
from lab.documents.examples.kept import DONE, Kept, Kernel, Writes
from model.address_space import STACK_GUARD
from model.page_entry import ADDRESS_BITS, CACHE_DISABLE, PRESENT, WRITABLE, Level
from model.types import PAGE_BYTES

MIXED = Stop(
    "scenario=mixed,processes seed=7 ops=500", "48M", ("hoard pause a", "pause y", "hoard pause bb"), 2
)
TRACED = Stop("scenario=mixed seed=7 ops=400", "32M")
SHORT = Stop("scenario=mixed seed=7 ops=400 trace=128", "32M")
KERNELS: Mapping[Kernel | Stop, str] = {
    MIXED: "three processes",
    TRACED: "a whole trace",
    SHORT: "a trace that has lost records",
}
"""What the page calls the healthy ones of the Coronel kernel."""


def runs(bug: str) -> Kernel:
    """The kernel with a list of free pages."""
    return Kernel(f"bug={bug} seed=5 ops=700", "no bug" if bug == "none" else "struck", "runs/runs", "32M")


def tags(bug: str) -> Kernel:
    """The kernel whose heap has boundary tags."""
    return Kernel(f"bug={bug} seed=5 ops=1500", "no bug" if bug == "none" else "struck", "tags/tags", "32M")


@dataclass(frozen=True)
class Example:
    """A stopped kernel, the command that is typed, and the damage made before; none for a bug of its own."""

    where: Kernel | Stop
    command: str
    damage_text: str = ""
    damage: Callable[[Kept], Writes] | None = None
    words: Callable[[Kept], Mapping[str, str]] = lambda _: {}
    """What stands for the words in braces of the command."""


def own(scenario: str, command: str, until: str = DONE) -> Example:
    """A bug of the kernel's own."""
    return Example(Kernel(f"scenario={scenario}", until), command)


def changed(command: str, text: str, damage: Callable[[Kept], Writes]) -> Example:
    """A damage of the healthy kernel with processes."""
    return Example(MIXED, command, text, damage)


def _foreign(text: str, damage: Callable[[Kept], Writes]) -> Example:
    return Example(
        MIXED,
        "pagewalk --audit --cr3 {cr3}",
        f"a copy of a process's top table in a free frame, with U in slot 511; {text}",
        lambda kept: foreign_space(kept, damage(kept)),
        lambda kept: {"cr3": f"{free_frame(kept):#x}"},
    )


EXAMPLES = {
    "HEAP001": own("overflow", "heapcheck"),
    "HEAP002": own("underflow", "heapcheck"),
    "HEAP003": changed(
        "heapcheck", "`is_free` of a block flipped", lambda k: k.put("heap block", "is_free", flip(1), 5)
    ),
    "HEAP004": own("overflow1", "heapcheck"),
    "HEAP005": own("smashed_next", "heapcheck"),
    "HEAP006": own("cyclic_list", "heapcheck"),
    "HEAP007": changed("heapcheck", "a block before a free one marked free", unmerged),
    "HEAP008": changed(
        "heapcheck", "`total_allocated_` + 16", lambda k: k.put("heap", "total_allocated", plus(16))
    ),
    "HEAP009": changed("heapcheck", "8 in `next` of a block, text over all behind it", rest_lost),
    "HEAP011": own("double_free", "heapcheck"),
    "HEAP012": own("leak", "heapcheck --leaks"),
    "HEAP013": changed(
        "heapcheck", "W cleared in the PTE of a heap page", lambda k: k.at(heap_page(k), flip(WRITABLE))
    ),
    "FRAME001": changed("frames", "`free_list_` + 8", lambda k: k.put("frame manager", "free_list", plus(8))),
    "FRAME002": changed(
        "frames", "`address` of a node + 4096", lambda k: k.put("frame node", "address", plus(4096), 7)
    ),
    "FRAME003": changed(
        "frames", "the first frame of the image put into the free list", lambda k: k.freed(IMAGE)
    ),
    "FRAME004": changed("frames", "the last node leads to the first", tail_to_head),
    "FRAME005": changed(
        "frames", "`free_count_` + 1", lambda k: k.put("frame manager", "free_count", plus(1))
    ),
    "FRAME006": changed(
        "frames", "0 in `previous` of a node", lambda k: k.put("frame node", "previous", 0, 7)
    ),
    "FRAME007": changed(
        "frames", "0x41 in `previous` of a node", lambda k: k.put("frame node", "previous", 0x41, 7)
    ),
    "FRAME008": own("frame_free_mapped", "frames"),
    "FRAME009": changed(
        "frames",
        "the frame of a live page table put into the free list",
        lambda k: k.freed(code_entry(k) & -PAGE_BYTES),
    ),
    "FRAME010": changed(
        "frames", "the first frame of the image put into the free list", lambda k: k.freed(IMAGE)
    ),
    "FRAME011": own("pte_scribble", "memcheck"),
    "FRAME012": changed(
        "frames",
        "a PDE of a process leads to the image",
        lambda k: k.at(k.entry(k.get("process", "code_start"), 0, Level.PDE), leads(IMAGE)),
    ),
    "FRAME013": changed(
        "frames",
        "the PTE of a heap page leads to the frame of the next one",
        lambda k: k.at(heap_page(k), leads(k.word(heap_page(k, 1)) & ADDRESS_BITS)),
    ),
    "FRAME014": changed("frames", "the first device page leads to a heap page's frame", device_of_memory),
    "FRAME015": changed("frames", "the first node taken out of the free list", head_forgotten),
    "FRAME016": own("frame_double_free", "frames"),
    "FRAME017": changed(
        "frames", "a PTE of a process leads beyond RAM", lambda k: k.at(stack_entry(k), leads(0xFF_FFFF_F000))
    ),
    "FRAME018": changed(
        "memcheck", "`physical_end_` + 1", lambda k: k.put("frame manager", "physical_end", plus(1))
    ),
    "FRAME019": changed("frames", "`previous` of the first node one node further", one_left_out),
    "FRAME020": Example(
        Kernel("scenario=load,frame_twice seed=3 ops=4000", "done", "older/coronel-older", "32M"), "frames"
    ),
    "REGION001": changed("regions", "`size` of a node + 1", lambda k: k.put("region node", "size", plus(1))),
    "REGION002": changed(
        "regions",
        "`start` of the first node below `start_`",
        lambda k: k.put("region node", "start", k.get("region manager", "start") - PAGE_BYTES),
    ),
    "REGION003": own("region_overlap", "regions"),
    "REGION004": changed(
        "regions", "8 in `prev` of the first node", lambda k: k.put("region node", "prev", 8)
    ),
    "REGION005": changed("regions", "`count_` + 1", lambda k: k.put("region manager", "count", plus(1))),
    "REGION006": changed(
        "regions",
        "the first node begins one page earlier",
        lambda k: {
            **k.put("region node", "start", plus(-PAGE_BYTES)),
            **k.put("region node", "size", plus(PAGE_BYTES)),
        },
    ),
    "REGION007": changed(
        "regions", "1 in the counter of double frees", lambda k: k.put("region manager", "errors[3]", 1)
    ),
    "REGION008": changed(
        "regions", "`spare_count_` + 1", lambda k: k.put("region manager", "spare_count", plus(1))
    ),
    "LAYOUT002": changed(
        "layout",
        "W set in the PTE of the first page of code",
        lambda k: k.at(k.entry(k.symbol("_text_start")), flip(WRITABLE)),
    ),
    "LAYOUT003": changed(
        "layout",
        "the stack guard mapped",
        lambda k: k.at(k.entry(STACK_GUARD), k.word(k.entry(STACK_GUARD + PAGE_BYTES))),
    ),
    "LAYOUT004": changed(
        "layout",
        "P cleared in the PTE of the first page of code",
        lambda k: k.at(k.entry(k.symbol("_text_start")), flip(PRESENT)),
    ),
    "LAYOUT005": changed(
        "layout",
        "the PTE of the first page of data leads to the next frame",
        lambda k: k.at(k.entry(k.symbol("_data_start")), plus(PAGE_BYTES)),
    ),
    "LAYOUT007": changed(
        "layout",
        "`start_` of the virtual manager − 4096",
        lambda k: k.put("region manager", "start", plus(-PAGE_BYTES)),
    ),
    "LAYOUT008": own("stack_overflow", "layout", until="exception"),
    "PAGE001": _foreign(
        "W in the PTE of the first page of code",
        lambda k: k.at(k.entry(k.symbol("_text_start")), flip(WRITABLE)),
    ),
    "PAGE002": _foreign("U in the entries above a heap page", opened),
    "PAGE003": _foreign("a page at 0 mapped", null_mapped),
    "PAGE004": _foreign(
        "the PTE of a stack page leads to a page table",
        lambda k: k.at(stack_entry(k), leads(code_entry(k) & -PAGE_BYTES)),
    ),
    "PAGE006": own("pte_scribble", "pagewalk --audit"),
    "PAGE009": Example(
        MIXED,
        "pagewalk --why --error 2 {heap}",
        "none, but an error code that contradicts the tables",
        words=lambda k: {"heap": f"{k.get('heap', 'first_block'):#x}"},
    ),
    "PAGE011": changed(
        "memcheck",
        "PCD set in a PDE of the kernel",
        lambda k: k.at(k.entry(k.symbol("_text_start"), level=Level.PDE), flip(CACHE_DISABLE)),
    ),
    "PAGE012": changed(
        "memcheck",
        "8 in an empty slot behind the kernel",
        lambda k: k.at((k.entry(k.symbol("_text_start")) & -PAGE_BYTES) + 8 * 511, 8),
    ),
    "SPACE001": own("kernel_user_bit", "processes"),
    "SPACE002": changed(
        "processes",
        "W cleared in slot 511 of a process's top table",
        lambda k: k.at(k.root(0) + 8 * 511, flip(WRITABLE)),
    ),
    "SPACE003": changed(
        "processes",
        "slot 5 of the kernel directory leads where slot 0 of a process leads",
        lambda k: k.at(k.read(k.symbol("paging::kernel_directory_")) + 8 * 5, k.word(k.root(0))),
    ),
    "SPACE004": own("shared_user_page", "processes"),
    "SPACE005": changed(
        "processes",
        "the PTE of a stack page leads to a page table",
        lambda k: k.at(stack_entry(k), leads(code_entry(k) & -PAGE_BYTES)),
    ),
    "SPACE006": changed(
        "processes",
        "the PTE of a stack page leads to the image",
        lambda k: k.at(stack_entry(k), leads(IMAGE)),
    ),
    "SPACE007": changed(
        "processes", "slot 0 of one process in another", lambda k: k.at(k.root(1), k.word(k.root(0)))
    ),
    "PROC001": changed(
        "processes",
        "`next` of the first process leads nowhere",
        lambda k: k.put("process", "next", 0xFFFF_FFFF_FFFF_FFF8),
    ),
    "PROC002": changed("processes", "`state` 77", lambda k: k.put("process", "state", 77)),
    "PROC003": changed(
        "processes", "W set in the PTE of a page of code", lambda k: k.at(code_entry(k), flip(WRITABLE))
    ),
    "PROC004": changed(
        "processes", "0 in `g_process_list`", lambda k: k.put("variable", "g_process_list", 0)
    ),
    "TRACE001": Example(TRACED, "replay", "the result of a `malloc` + 16", other_result),
    "TRACE002": own("overflow", "replay"),
    "TRACE003": Example(
        TRACED, "replay", "99 as the operation of record 50", lambda k: k.virtual(record_at(k, 50) + 8, 99, 4)
    ),
    "TRACE004": Example(SHORT, "replay", "a `malloc` that gives a block that is in use", given_twice),
    "TRACE005": own("double_free", "replay"),
    "TRACE006": own("frame_free_mapped", "replay"),
    "TRACE007": Example(
        TRACED, "memcheck", "`g_trace.next_` − 1", lambda k: k.put("trace", "next", plus(-1))
    ),
    "LOCK001": changed("memcheck", "7 in the heap's `lock_`", lambda k: k.put("heap", "locked", 7)),
    "BOOT001": changed(
        "memcheck", "0 in `g_physical_manager`", lambda k: k.put("variable", "g_physical_manager", 0)
    ),
    "BOOT002": changed(
        "memcheck",
        "`ram_.count_` of `g_memory_map` + 1",
        lambda k: k.put("memory map", "ram_count", plus(1)),
    ),
    "BOOT003": changed(
        "memcheck",
        "`paging::next_device_` + 1",
        lambda k: k.put("variable", "paging::next_device_", plus(1)),
    ),
    "RUN001": Example(runs("use_after_free"), "frames"),
    "RUN002": Example(runs("stale_counter"), "frames"),
    "RUN003": Example(runs("double_free"), "frames"),
    "RUN004": Example(
        runs("none"), "frames", "0 in `kmem.freelist`", lambda k: k.virtual(k.symbol("kmem") + 16, 0)
    ),
    "CHUNK001": Example(tags("free_overflow"), "heapcheck"),
    "CHUNK002": Example(tags("off_by_one"), "heapcheck"),
    "CHUNK003": Example(tags("none"), "heapcheck", "PREV_INUSE cleared behind a used chunk", flag_cleared),
    "CHUNK004": Example(tags("stale_tail"), "heapcheck"),
    "CHUNK005": Example(tags("smashed_links"), "heapcheck"),
    "CHUNK006": Example(tags("double_free"), "heapcheck"),
    "CHUNK007": Example(
        tags("none"),
        "heapcheck",
        "a used chunk before a free one marked free and put into its bin",
        touching,
    ),
    "CHUNK008": Example(tags("not_in_a_bin"), "heapcheck"),
    "CHUNK009": Example(tags("second_owner"), "heapcheck"),
    "CHUNK010": Example(
        tags("none"),
        "heapcheck",
        "`used_chunks` + 1",
        lambda k: k.virtual(k.symbol("g_arena") + 40, plus(1)),
    ),
    "CHUNK011": Example(
        tags("none"), "heapcheck", "a run of bytes over the second half of the arena", half_of_the_arena
    ),
}

REASONS = {
    "HEAP010": "no command takes a misaligned address for a header: the link that leads there is told.",
    "LAYOUT001": "the symbols are those of the kernel's file: another linker script must have made it.",
    "LAYOUT006": "the structures are those of the kernel's file: it must be built from a changed source.",
    "RUN005": "the kernel `runs` keeps no counter of its free pages: a kernel that has one must be profiled.",
    "PAGE010": "QEMU has to answer otherwise than its own tables say, and a dump has no QEMU.",
}
