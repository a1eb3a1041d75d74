"""What the boot loader says about memory: docs/spec.md §4.1 to §4.3.

`parse` reads the Multiboot 1 information structure; the other functions turn map entries and reserved
ranges, wherever they come from, into the ranges that the frame allocator manages.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from model.address_space import EARLY_MAP_BYTES
from model.errors import BootStopped
from model.memory import PhysicalRange
from model.types import PAGE_BYTES, U64_MASK, PhysicalAddress, align_down, align_up

AVAILABLE: Final = 1
ONE_MIB: Final = 1 << 20
MAXIMUM_MAP_ENTRIES: Final = 64
MAXIMUM_RESERVED_RANGES: Final = 32

# Multiboot specification 0.6.96, §3.3: flag bits, and offsets in the information structure.
_INFORMATION_BYTES: Final = 88
_HAS_MEMORY_SIZES: Final = 1 << 0
_HAS_COMMAND_LINE: Final = 1 << 2
_HAS_MODULES: Final = 1 << 3
_HAS_MEMORY_MAP: Final = 1 << 6
_FLAGS, _MEM_UPPER, _COMMAND_LINE, _MODULE_COUNT, _MODULES, _MAP_BYTES, _MAP = 0, 8, 16, 20, 24, 44, 48
_MODULE_BYTES: Final = 16
_MAP_ENTRY_BYTES: Final = 20  # without its own size field


@dataclass(frozen=True, slots=True)
class MapEntry:
    """One entry of the memory map: raw values; `kind` 1 is available RAM."""

    start: int
    length_bytes: int
    kind: int = AVAILABLE


@dataclass(frozen=True, slots=True)
class BootInformation:
    """What the structure says, unrounded: the memory map, and what lies in RAM and must stay there."""

    memory_map: tuple[MapEntry, ...]
    reserved: tuple[PhysicalRange, ...]


ReadBytes = Callable[[PhysicalAddress, int], bytes | None]
"""That many bytes at a physical address; None when they cannot be read."""


def _range(start: int, end: int) -> PhysicalRange:
    return PhysicalRange(PhysicalAddress(start), PhysicalAddress(end))


def merge(ranges: Iterable[PhysicalRange]) -> tuple[PhysicalRange, ...]:
    """Sort ranges, and join those that touch or overlap; empty ones vanish."""
    merged: list[PhysicalRange] = []
    for piece in sorted(piece for piece in ranges if piece.start < piece.end):
        if merged and piece.start <= merged[-1].end:
            merged[-1] = _range(merged[-1].start, max(merged[-1].end, piece.end))
        else:
            merged.append(piece)
    return tuple(merged)


def subtract(ranges: Iterable[PhysicalRange], holes: Sequence[PhysicalRange]) -> Iterator[PhysicalRange]:
    """What of each of `ranges` lies in none of `holes`, which are sorted and do not overlap."""
    for piece in ranges:
        position = piece.start
        for hole in holes:
            if hole.start < piece.end and position < hole.end:
                if position < hole.start:
                    yield _range(position, hole.start)
                position = hole.end
        if position < piece.end:
            yield _range(position, piece.end)


def ram_regions(memory_map: Sequence[MapEntry]) -> tuple[PhysicalRange, ...]:
    """The RAM of a memory map: whole pages, ascending, apart from each other (§4.1)."""
    looked_at = [
        entry
        for entry in memory_map[:MAXIMUM_MAP_ENTRIES]
        if entry.length_bytes > 0 and entry.start + entry.length_bytes <= U64_MASK
    ]
    available = [_range(e.start, e.start + e.length_bytes) for e in looked_at if e.kind == AVAILABLE]
    other = merge(_range(e.start, e.start + e.length_bytes) for e in looked_at if e.kind != AVAILABLE)
    return merge(
        _range(align_up(piece.start, PAGE_BYTES), align_down(piece.end, PAGE_BYTES))
        for piece in subtract(available, other)
    )


def reserved_ranges(ranges: Iterable[PhysicalRange]) -> tuple[PhysicalRange, ...]:
    """Whole pages that hold the given ranges, ascending; `BootStopped` when they are too many (§4.2)."""
    reserved: tuple[PhysicalRange, ...] = ()
    for piece in ranges:
        if piece.start < piece.end:
            whole = _range(align_down(piece.start, PAGE_BYTES), align_up(piece.end, PAGE_BYTES))
            reserved = merge([*reserved, whole])
        if len(reserved) > MAXIMUM_RESERVED_RANGES:  # §4.2: counted at every addition
            raise BootStopped("coronel: too many reserved ranges")
    return reserved


def managed_ranges(
    ram: Sequence[PhysicalRange], reserved: Sequence[PhysicalRange], placement_end: PhysicalAddress
) -> tuple[PhysicalRange, ...]:
    """The RAM whose frames may be handed out, ascending (§4.3)."""
    taken = merge([_range(0, placement_end), *reserved])
    return tuple(subtract(ram, taken))


def parse(read: ReadBytes, information: PhysicalAddress) -> BootInformation:
    """Read the information structure at `information` and what it refers to.

    `BootStopped` when there is no memory information, or when something lies where the early map does
    not reach. A part that cannot be read counts as absent.
    """
    data = read(_reachable(information, _INFORMATION_BYTES), _INFORMATION_BYTES)
    flags = _u32(data, _FLAGS) if data is not None else 0
    if data is not None and flags & _HAS_MEMORY_MAP:
        _reachable(_u32(data, _MAP), _u32(data, _MAP_BYTES))
        memory_map = tuple(_map_entries(read, _u32(data, _MAP), _u32(data, _MAP_BYTES)))
    elif data is not None and flags & _HAS_MEMORY_SIZES:
        # §4.1: without a map, one region from 1 MiB on.
        memory_map = (MapEntry(ONE_MIB, _u32(data, _MEM_UPPER) * 1024),)
    else:
        raise BootStopped("coronel: no memory information from the boot loader")
    reserved = tuple(_reserved(read, information, data, flags))
    return BootInformation(memory_map, reserved)


def _reachable(start: int, size_bytes: int) -> PhysicalAddress:
    """`start`, when [start, start + size_bytes) is boot information that can be read (§4.2)."""
    if start + size_bytes > EARLY_MAP_BYTES:
        raise BootStopped("coronel: boot information above 1 GiB")
    return PhysicalAddress(start)


def _u32(data: bytes, offset: int) -> int:
    return int.from_bytes(data[offset : offset + 4], "little")


def _u64(data: bytes, offset: int) -> int:
    return int.from_bytes(data[offset : offset + 8], "little")


def _map_entries(read: ReadBytes, address: int, size_bytes: int) -> Iterator[MapEntry]:
    """The first 64 entries; one that is too short, or ends behind the map, ends it (§4.1)."""
    end = address + size_bytes
    for _ in range(MAXIMUM_MAP_ENTRIES):
        data = read(PhysicalAddress(address), 4 + _MAP_ENTRY_BYTES)
        if data is None or _u32(data, 0) < _MAP_ENTRY_BYTES or address + 4 + _u32(data, 0) > end:
            return
        yield MapEntry(_u64(data, 4), _u64(data, 12), _u32(data, 20))
        address += 4 + _u32(data, 0)


def _reserved(
    read: ReadBytes, information: PhysicalAddress, data: bytes, flags: int
) -> Iterator[PhysicalRange]:
    """What the boot loader left in RAM, in the order of §4.2."""
    yield _range(information, information + _INFORMATION_BYTES)
    if flags & _HAS_COMMAND_LINE:
        yield _string(read, _u32(data, _COMMAND_LINE))
    if flags & _HAS_MEMORY_MAP:
        yield _range(_u32(data, _MAP), _u32(data, _MAP) + _u32(data, _MAP_BYTES))
    if flags & _HAS_MODULES:
        modules, size_bytes = _u32(data, _MODULES), _MODULE_BYTES * _u32(data, _MODULE_COUNT)
        yield _range(_reachable(modules, size_bytes), modules + size_bytes)
        listed = read(PhysicalAddress(modules), size_bytes) or b""
        for at in range(0, len(listed), _MODULE_BYTES):
            yield _range(_u32(listed, at), _u32(listed, at + 4))
            yield _string(read, _u32(listed, at + 8))


def _string(read: ReadBytes, address: int) -> PhysicalRange:
    """The text at `address` with its terminating zero; nothing for a null pointer."""
    if address == 0:
        return _range(0, 0)
    end = address
    while True:
        size = align_down(end, PAGE_BYTES) + PAGE_BYTES - end
        data = read(_reachable(end, 1), size)
        if data is None:
            return _range(address, end)
        if 0 in data:
            return _range(address, end + data.index(0) + 1)
        end += size
