"""How far the memory of a heap reaches whose object does not say so: an expansion does not move its end."""

from coronel_gdb.errors import ReadFault
from coronel_gdb.lift.space import AddressSpace
from coronel_gdb.profiles.schema import HeapProfile
from model.records import Heap
from model.types import PAGE_BYTES, VirtualAddress, align_up

_MOST_BLOCKS = 1 << 20
_MOST_BYTES = 1 << 40  # a size beyond it is damage


def farthest_end(space: AddressSpace, heap: Heap, profile: HeapProfile) -> int:
    """The end of the highest block that the list reaches, at least that of `heap_size_` bytes."""
    end = int(heap.heap_end)
    if heap.heap_size < _MOST_BYTES:
        end = max(end, heap.heap_start + heap.heap_size)
    return reached_from(heap.first_block, end, space, profile)


def reached_from(block: VirtualAddress, end: int, space: AddressSpace, profile: HeapProfile) -> int:
    """The same for the list from a block on, and at least `end`; regions are whole pages.

    It is followed as long as headers have a magic.
    """
    rules, decode, size = profile.rules, profile.block.decode, profile.block.size_bytes
    at, seen = int(block), set[int]()
    while at and at not in seen and len(seen) < _MOST_BLOCKS:
        seen.add(at)
        try:
            values = decode(space.read(VirtualAddress(at), size))
        except ReadFault:
            break
        if values["magic"] not in (rules.magic_free, rules.magic_used):
            break
        if values["size"] < _MOST_BYTES:
            end = max(end, at + rules.header_bytes + values["size"])
        at = values["next"]
    return align_up(end, PAGE_BYTES)
