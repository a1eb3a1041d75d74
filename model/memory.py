"""Simulated memory: physical RAM, sparse, and the virtual view of it that the kernel's code has.

`PhysicalMemory` holds bytes where there is RAM and refuses every other address: what is not there is
never read as zero. `VirtualMemory` reaches it through the early map (docs/spec.md §1.2) until a page
directory is loaded, and from then on through the tables that lie in that same RAM.
"""

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from model.address_space import EARLY_MAP_BYTES, KERNEL_BASE
from model.errors import CpuException, NoSuchMemory
from model.paging import FaultReason, PagingMode, Translation, walk
from model.types import PAGE_BYTES, U64_MASK, PhysicalAddress, VirtualAddress, align_down

_U64: Final = struct.Struct("<Q")
_OFFSET: Final = PAGE_BYTES - 1
_UNTOUCHED: Final = bytes(PAGE_BYTES)

# SDM vol. 3A §4.7: bits of a page fault's error code.
_FAULT_PRESENT: Final = 1 << 0
_FAULT_WRITE: Final = 1 << 1
_FAULT_RESERVED: Final = 1 << 3
_GENERAL_PROTECTION: Final = 13
_PAGE_FAULT: Final = 14


@dataclass(frozen=True, slots=True, order=True)
class PhysicalRange:
    """Physical addresses [start, end)."""

    start: PhysicalAddress
    end: PhysicalAddress


def _pieces(address: int, size_bytes: int) -> Iterator[tuple[int, int]]:
    """Address and size of the parts that [address, address + size_bytes) has in each page."""
    end = address + size_bytes
    while address < end:
        size = min(end, align_down(address, PAGE_BYTES) + PAGE_BYTES) - address
        yield address, size
        address += size


class PhysicalMemory:
    """RAM in the given ranges, zero at the start; pages exist from their first write on.

    Every access outside RAM raises `NoSuchMemory`. A page that RAM does not cover whole is no RAM.
    """

    def __init__(self, ram: Iterable[PhysicalRange]) -> None:
        self.ram: Final = tuple(sorted(ram))
        self._pages: Final[dict[int, bytearray]] = {}

    def contains(self, address: int, size_bytes: int = 1) -> bool:
        """Whether all of [address, address + size_bytes) is RAM."""
        first = align_down(address, PAGE_BYTES)
        last = align_down(address + size_bytes - 1, PAGE_BYTES)
        position = first
        for piece in self.ram:
            if piece.start <= position and position + PAGE_BYTES <= piece.end:
                position = align_down(piece.end, PAGE_BYTES)
        return position > last

    def touched_pages(self) -> list[PhysicalAddress]:
        """The pages ever written, in ascending order: all others still hold zeros."""
        return [PhysicalAddress(number * PAGE_BYTES) for number in sorted(self._pages)]

    def _page(self, address: int, size_bytes: int) -> bytearray:
        """The page of `address`, made if need be, to be written to."""
        page = self._pages.get(address // PAGE_BYTES)
        if page is None:
            if not self.contains(address):
                raise NoSuchMemory(PhysicalAddress(address), size_bytes)
            page = self._pages[address // PAGE_BYTES] = bytearray(PAGE_BYTES)
        return page

    def _look(self, address: int, size_bytes: int) -> bytes | bytearray:
        """The page of `address`, to be read from."""
        page = self._pages.get(address // PAGE_BYTES)
        if page is None:
            if not self.contains(address):
                raise NoSuchMemory(PhysicalAddress(address), size_bytes)
            return _UNTOUCHED
        return page

    def read(self, address: PhysicalAddress, size_bytes: int) -> bytes:
        """The bytes at [address, address + size_bytes)."""
        offset = address & _OFFSET
        if offset + size_bytes <= PAGE_BYTES:  # most reads: no page is crossed
            return bytes(self._look(address, size_bytes)[offset : offset + size_bytes])
        parts = []
        for start, size in _pieces(address, size_bytes):
            offset = start & _OFFSET
            parts.append(self._look(start, size)[offset : offset + size])
        return b"".join(parts)

    def write(self, address: PhysicalAddress, data: bytes | bytearray | memoryview) -> None:
        """Put `data` at `address`."""
        for start, size in _pieces(address, len(data)):
            offset, done = start & _OFFSET, start - address
            self._page(start, size)[offset : offset + size] = data[done : done + size]

    def fill(self, address: PhysicalAddress, size_bytes: int, value: int = 0) -> None:
        """Set every byte of [address, address + size_bytes) to `value`."""
        for start, size in _pieces(address, size_bytes):
            if value or start // PAGE_BYTES in self._pages or not self.contains(start):
                offset = start & _OFFSET
                self._page(start, size)[offset : offset + size] = bytes([value]) * size

    def read_u64(self, address: PhysicalAddress) -> int:
        """The little-endian u64 at `address`."""
        offset = address & _OFFSET
        if offset <= PAGE_BYTES - _U64.size:
            return int(_U64.unpack_from(self._look(address, _U64.size), offset)[0])
        return int.from_bytes(self.read(address, _U64.size), "little")

    def write_u64(self, address: PhysicalAddress, value: int) -> None:
        """Put `value`, modulo 2**64, at `address`, little-endian."""
        offset = address & _OFFSET
        if offset <= PAGE_BYTES - _U64.size:
            _U64.pack_into(self._page(address, _U64.size), offset, value & U64_MASK)
        else:
            self.write(address, _U64.pack(value & U64_MASK))

    def read_entry(self, address: PhysicalAddress) -> int | None:
        """A paging entry for `model.paging.walk`; None where there is no RAM."""
        return self.read_u64(address) if self.contains(address, _U64.size) else None

    def read_table(self, address: PhysicalAddress) -> bytes | None:
        """A paging table for `model.paging.walk_space`; None where there is no RAM."""
        return self.read(address, PAGE_BYTES) if self.contains(address, PAGE_BYTES) else None


@dataclass(frozen=True, slots=True)
class _Cached:
    """One entry of the translation cache: the physical page, and whether it may be written."""

    physical: PhysicalAddress
    writable: bool


class VirtualMemory:
    """Physical memory as the kernel's code sees it, with CR0.WP set (§1.2).

    Translations are cached as a processor caches them: `invalidate` and `load_cr3` forget them, pages
    that are not mapped are never cached. An address that cannot be reached raises `CpuException`.
    """

    def __init__(self, physical: PhysicalMemory, mode: PagingMode) -> None:
        self.physical: Final = physical
        self.mode: Final = mode
        self.cr3: PhysicalAddress | None = None  # None: the early map
        self._cache: Final[dict[int, _Cached]] = {}

    def load_cr3(self, root: PhysicalAddress) -> None:
        """Use the tables of `root` from now on (§5.6)."""
        self.cr3 = root
        self._cache.clear()

    def invalidate(self, address: VirtualAddress) -> None:
        """Forget the translation of the page of `address` (the instruction invlpg)."""
        self._cache.pop(address // PAGE_BYTES, None)

    def translate(self, address: VirtualAddress, *, write: bool = False) -> PhysicalAddress:
        """The physical address of `address` for a read or a write by the kernel."""
        cached = self._cache.get(address // PAGE_BYTES)
        if cached is None:
            cached = self._cache[address // PAGE_BYTES] = self._walk(address, write=write)
        if write and not cached.writable:
            # SDM vol. 3A §4.6.1: CR0.WP keeps the supervisor from writing to read-only pages.
            raise CpuException(_PAGE_FAULT, _FAULT_PRESENT | _FAULT_WRITE, address)
        return PhysicalAddress(cached.physical + (address & _OFFSET))

    def is_mapped(self, address: int, size_bytes: int) -> bool:
        """Whether all of [address, address + size_bytes) is mapped, and to RAM."""
        try:
            return all(
                self.physical.contains(self.translate(VirtualAddress(start)))
                for start, _ in _pieces(address, size_bytes)
            )
        except CpuException:
            return False

    def _walk(self, address: VirtualAddress, *, write: bool) -> _Cached:
        """Translate the page of `address`: by the early map, or by the tables of CR3."""
        page = VirtualAddress(align_down(address, PAGE_BYTES))
        code = _FAULT_WRITE if write else 0
        if self.cr3 is None:
            # §1.2: the early map, both at 0 and at KERNEL_BASE.
            for base in (0, KERNEL_BASE):
                if base <= page < base + EARLY_MAP_BYTES:
                    return _Cached(PhysicalAddress(page - base), writable=True)
            raise CpuException(_PAGE_FAULT, code, address)
        result = walk(self.physical.read_entry, self.cr3, page, self.mode)
        if isinstance(result, Translation):
            return _Cached(result.physical, result.rights.writable)
        if result.reason is FaultReason.NON_CANONICAL:
            raise CpuException(_GENERAL_PROTECTION, 0, address)
        if result.reason is FaultReason.RESERVED_BIT:
            code |= _FAULT_PRESENT | _FAULT_RESERVED
        raise CpuException(_PAGE_FAULT, code, address)

    def read(self, address: VirtualAddress, size_bytes: int) -> bytes:
        """The bytes at [address, address + size_bytes)."""
        if (address & _OFFSET) + size_bytes <= PAGE_BYTES:
            return self.physical.read(self.translate(address), size_bytes)
        return b"".join(
            self.physical.read(self.translate(VirtualAddress(start)), size)
            for start, size in _pieces(address, size_bytes)
        )

    def write(self, address: VirtualAddress, data: bytes | bytearray | memoryview) -> None:
        """Put `data` at `address`."""
        for start, size in _pieces(address, len(data)):
            done = start - address
            self.physical.write(self.translate(VirtualAddress(start), write=True), data[done : done + size])

    def fill(self, address: VirtualAddress, size_bytes: int, value: int = 0) -> None:
        """Set every byte of [address, address + size_bytes) to `value`."""
        for start, size in _pieces(address, size_bytes):
            self.physical.fill(self.translate(VirtualAddress(start), write=True), size, value)

    def read_u64(self, address: VirtualAddress) -> int:
        """The little-endian u64 at `address`."""
        if address & _OFFSET <= PAGE_BYTES - _U64.size:
            return self.physical.read_u64(self.translate(address))
        return int.from_bytes(self.read(address, _U64.size), "little")

    def write_u64(self, address: VirtualAddress, value: int) -> None:
        """Put `value`, modulo 2**64, at `address`, little-endian."""
        if address & _OFFSET <= PAGE_BYTES - _U64.size:
            self.physical.write_u64(self.translate(address, write=True), value)
        else:
            self.write(address, _U64.pack(value & U64_MASK))
