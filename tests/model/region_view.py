"""A manager of virtual regions as its bytes show it, by the offsets of docs/spec.md §6.1 and §10."""

import struct

from model.address_space import KERNEL_BASE
from model.errors import ErrorKind
from model.memory import VirtualMemory
from model.regions import RegionAllocator
from model.types import VirtualAddress

OBJECT = VirtualAddress(KERNEL_BASE + 0x1000)
POOL = VirtualAddress(KERNEL_BASE + 0x2000)
SPACE = 0xFFFF_FFFF_9000_0000
PAGES = 64
END = SPACE + PAGES * 0x1000


def field(memory: VirtualMemory, offset: int, address: int = OBJECT) -> int:
    """A field of `virt` by the offset that §10 gives."""
    return memory.read_u64(VirtualAddress(address + offset))


def errors(memory: VirtualMemory, address: int = OBJECT) -> list[int]:
    return [field(memory, 56 + 8 * kind, address) for kind in ErrorKind]


def node(memory: VirtualMemory, address: int) -> tuple[int, int, int, int]:
    start, size, following, previous = struct.unpack("<QQQQ", memory.read(VirtualAddress(address), 32))
    return start, size, following, previous


def free_list(memory: VirtualMemory, address: int = OBJECT) -> list[tuple[int, int]]:
    """Start and size of every free region; the links and the count are checked on the way."""
    regions, previous, at = [], 0, field(memory, 0, address)
    while at:
        start, size, following, back = node(memory, at)
        assert back == previous
        regions.append((start, size))
        previous, at = at, following
    assert field(memory, 8, address) == previous
    assert field(memory, 16, address) == len(regions)
    return regions


def spares(memory: VirtualMemory, address: int = OBJECT) -> list[int]:
    """The nodes of the pool, each zero but for its link."""
    found, at = [], field(memory, 24, address)
    while at:
        start, size, following, previous = node(memory, at)
        assert (start, size, previous) == (0, 0, 0)
        found.append(at)
        at = following
    assert field(memory, 32, address) == len(found)
    return found


def simple(memory: VirtualMemory) -> RegionAllocator:
    """A manager of 64 pages whose pool never grows."""
    made = RegionAllocator.at(memory, OBJECT)
    made.nodes.add_page(POOL)
    made.setup(SPACE, PAGES * 0x1000)
    return made


def page(number: int) -> int:
    return SPACE + number * 0x1000
