"""How far the memory of a heap reaches whose object does not say so: an expansion does not move its end."""

from coronel_gdb.errors import ReadFault
from coronel_gdb.lift.space import AddressSpace
from coronel_gdb.profiles.schema import HeapProfile
from model.records import Heap, HeapBlock
from model.types import PAGE_BYTES, VirtualAddress, align_up

_MOST_BLOCKS = 1 << 20
_MOST_BYTES = 1 << 40  # a size beyond it is damage


def farthest_end(space: AddressSpace, heap: Heap, profile: HeapProfile) -> int:
    """The end of the highest block that the list reaches, at least that of `heap_size_` bytes."""
    end = int(heap.heap_end)
    if heap.heap_size < _MOST_BYTES:
        end = max(end, heap.heap_start + heap.heap_size)
    return _followed(int(heap.first_block), 0, end, space, profile)


def reached_from(block: HeapBlock, end: int, space: AddressSpace, profile: HeapProfile) -> int:
    """The same for the list behind a block, and at least `end`."""
    return _followed(int(block.next), int(block.address), end, space, profile)


def _followed(at: int, before: int, end: int, space: AddressSpace, profile: HeapProfile) -> int:
    """As long as headers have a magic, or point back to where the list came from; regions are whole pages."""
    rules, decode, size = profile.rules, profile.block.decode, profile.block.size_bytes
    seen: set[int] = set()
    while at and at not in seen and len(seen) < _MOST_BLOCKS:
        seen.add(at)
        try:
            values = decode(space.read(VirtualAddress(at), size))
        except ReadFault:
            if space.why_lost(VirtualAddress(at), size):
                end = max(end, at + size)
            break
        if values["magic"] not in (rules.magic_free, rules.magic_used) and values["prev"] != before:
            break
        if values["size"] < _MOST_BYTES:
            end = max(end, at + rules.header_bytes + values["size"])
        at, before = values["next"], at
    return align_up(end, PAGE_BYTES)
