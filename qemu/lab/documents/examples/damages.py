"""Damages of a stopped kernel: each of a few bytes, and the same in every run."""

from collections.abc import Callable
from itertools import pairwise

from lab.corpus.places import boundaries
from lab.documents.examples.kept import Kept, Writes
from model.address_space import DEVICE_BASE
from model.page_entry import (
    ADDRESS_BITS,
    CACHE_DISABLE,
    PRESENT,
    USER,
    WRITABLE,
    Level,
    table_index,
)
from model.trace import Operation
from model.types import PAGE_BYTES

IMAGE = 0x10_0000
_RECORD_BYTES = 64
_BOTH_USED = 3  # a chunk's flags: it is used, and so is the one before
_TEXT = int.from_bytes(b"A run of bytes. ", "little")


def flip(bits: int) -> Callable[[int], int]:
    """These bits the other way round."""
    return lambda old: old ^ bits


def plus(number: int) -> Callable[[int], int]:
    """The old value and so much more."""
    return lambda old: old + number


def leads(frame: int) -> Callable[[int], int]:
    """A table entry with the same flags that leads elsewhere."""
    return lambda old: old & ~ADDRESS_BITS | frame


def heap_page(kept: Kept, number: int = 0) -> int:
    """Where the PTE of that page of the kernel heap lies."""
    return kept.entry(kept.get("heap", "first_block") + PAGE_BYTES * number)


def unmerged(kept: Kept) -> Writes:
    """A used block before a free one marked free."""
    pair = next(
        each for each in boundaries(kept.snapshot) if each.after.magic == free_magic(kept) and not each.user
    )
    header = pair.before.address
    fields = kept.snapshot.healthy.profile.heap.block.members
    return {
        **kept.virtual(header + fields["is_free"].offset_bytes, 1, fields["is_free"].size_bytes),
        **kept.virtual(header + fields["magic"].offset_bytes, free_magic(kept), fields["magic"].size_bytes),
    }


def free_magic(kept: Kept) -> int:
    """What stands in the header of a free block."""
    return kept.snapshot.healthy.profile.heap.rules.magic_free


def rest_lost(kept: Kept) -> Writes:
    """Text over all that lies behind a block of the middle, whose link is damaged too."""
    return {
        **kept.put("heap block", "next", 8, 100),
        **overwritten(kept, kept.get("heap block", "next", 100), kept.get("heap", "heap_end")),
    }


def overwritten(kept: Kept, start: int, end: int) -> Writes:
    """Text from one address of the kernel to another."""
    return {at: data for page in range(start, end, 16) for at, data in kept.virtual(page, _TEXT, 16).items()}


def head_forgotten(kept: Kept) -> Writes:
    """The first node out of the free list, as physical::alloc does it, and nobody has the frame."""
    head = kept.get("frame manager", "free_list")
    return {
        **kept.put("frame manager", "free_list", kept.read(head + 8)),
        **kept.put("frame manager", "free_count", plus(-1)),
        **kept.virtual(head, 0),
        **kept.virtual(head + 8, 0),
    }


def tail_to_head(kept: Kept) -> Writes:
    """The last node of the free list leads to the first."""
    node = head = kept.get("frame manager", "free_list")
    while after := kept.read(node + 8):
        node = after
    return kept.virtual(node + 8, head)


def one_left_out(kept: Kept) -> Writes:
    """The first node leads to the third."""
    head = kept.get("frame manager", "free_list")
    return kept.virtual(head + 8, kept.read(kept.read(head + 8) + 8))


def code_entry(kept: Kept, process: int = 0) -> int:
    """Where the PTE of a process's first page of code lies."""
    return kept.entry(kept.get("process", "code_start", process), process)


def stack_entry(kept: Kept) -> int:
    """Where the PTE of the first process's last page of stack lies."""
    return kept.entry(kept.get("process", "stack_end") - PAGE_BYTES, 0)


def record_at(kept: Kept, number: int) -> int:
    """Where that place of the trace lies."""
    return kept.get("trace", "ring") + _RECORD_BYTES * number


def other_result(kept: Kept) -> Writes:
    """Another result in the record of a malloc."""
    number = next(
        number
        for number in range(100, 300)
        if kept.read(record_at(kept, number) + 8) & 0xFFFF_FFFF == Operation.HEAP_MALLOC
    )
    return kept.virtual(record_at(kept, number) + 40, plus(16))


def given_twice(kept: Kept) -> Writes:
    """A malloc that gives a block that an earlier one gave."""
    live: set[int] = set()
    first = kept.get("trace", "next")
    for number in range(first, first + 128):
        at = record_at(kept, number % 128)
        what = kept.read(at + 8) & 0xFFFF_FFFF
        if what == Operation.HEAP_MALLOC and live:
            return kept.virtual(at + 40, min(live))
        if what == Operation.HEAP_MALLOC:
            live.add(kept.read(at + 40))
        live.discard(kept.read(at + 16))
    raise AssertionError("no block was given twice in so short a trace")


def chunks(kept: Kept) -> list[tuple[int, int]]:
    """Address and size word of every chunk of the arena."""
    arena = kept.symbol("g_arena")
    at, end, found = kept.read(arena + 8), kept.read(arena + 8) + kept.read(arena + 16), []
    while at < end:
        found.append((at, kept.read(at + 8)))
        at += found[-1][1] & ~15
    return found


def flag_cleared(kept: Kept) -> Writes:
    """PREV_INUSE cleared behind a used chunk."""
    found = chunks(kept)
    at = next(
        at for (at, size), (_, behind) in pairwise(found[10:]) if size & behind & _BOTH_USED == _BOTH_USED
    )
    return kept.virtual(at + 8, flip(1))


def touching(kept: Kept) -> Writes:
    """The used chunk follows the free one in its bin."""
    pair = next(
        (at, size, free)
        for (at, size), (free, behind) in pairwise(chunks(kept)[:-1])
        if size & _BOTH_USED == _BOTH_USED and not behind & 2
    )
    at, size, free = pair
    after = kept.read(free + 16)
    return {
        **kept.virtual(at + 8, flip(2)),
        **kept.virtual(at + 16, after),
        **kept.virtual(at + 24, free),
        **kept.virtual(free, size & ~15),
        **kept.virtual(free + 8, flip(1)),
        **kept.virtual(free + 16, at),
        **kept.virtual(after + 24, at),
    }


def half_of_the_arena(kept: Kept) -> Writes:
    """Text from a chunk of the middle to the last one."""
    found = chunks(kept)
    return overwritten(kept, found[len(found) // 2][0], sum(found[-1]) & -16)


def foreign_space(kept: Kept, root: Writes) -> Writes:
    """A copy of a process's top table in a free frame, of which nobody knows anything."""
    directory, copy = kept.root(0), bytearray(kept.snapshot.bytes_at(kept.root(0), PAGE_BYTES))
    copy[8 * 511] |= USER
    for at, data in root.items():
        if at & -PAGE_BYTES == directory:
            copy[at - directory : at - directory + len(data)] = data
    return {**root, free_frame(kept): bytes(copy)}


def free_frame(kept: Kept) -> int:
    """The frame that physical::alloc would give next."""
    return kept.read(kept.get("frame manager", "free_list"))


def opened(kept: Kept) -> Writes:
    """U in the entries above the first heap page, but for the top one."""
    block = kept.get("heap", "first_block")
    writes: dict[int, bytes] = {}
    for level in (Level.PTE, Level.PDE, Level.PDPTE):
        writes |= kept.at(kept.entry(block, level=level), flip(USER))
    return writes


def null_mapped(kept: Kept) -> Writes:
    """A page at 0 in the first process."""
    table = kept.entry(kept.get("process", "code_start"), 0, Level.PDE) & -PAGE_BYTES
    pte = kept.word(code_entry(kept)) & ADDRESS_BITS
    user = kept.word(table + 8 * table_index(kept.get("process", "code_start"), Level.PDE))
    return {**kept.at(table, user), **kept.at(code_entry(kept) & -PAGE_BYTES, pte | PRESENT | USER)}


def device_of_memory(kept: Kept) -> Writes:
    """A device page whose tables are frames taken from the free list, as mapio would."""
    frames = [free_frame(kept)]
    node = kept.get("frame manager", "free_list")
    for _ in range(2):
        node = kept.read(node + 8)
        frames.append(kept.read(node))
    directory, table, _ = frames
    top = kept.entry(kept.get("heap", "first_block"), level=Level.PDPTE) & -PAGE_BYTES
    frame = kept.word(heap_page(kept)) & ADDRESS_BITS
    flags = PRESENT | WRITABLE
    empty = bytes(PAGE_BYTES)
    leaf = (1 << 63 | frame | flags | CACHE_DISABLE | 1 << 3).to_bytes(8, "little")
    return {
        top + 8 * table_index(DEVICE_BASE, Level.PDPTE): (directory | flags).to_bytes(8, "little"),
        directory: (table | flags).to_bytes(8, "little") + empty[8:],
        table: leaf + empty[8:],
        **kept.put("frame manager", "free_list", node),
        **kept.put("frame manager", "free_count", plus(-2)),
        **kept.put("variable", "paging::next_device_", plus(PAGE_BYTES)),
    }
