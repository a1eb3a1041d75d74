"""A raw image of physical memory from address 0, as QEMU's `pmemsave` writes it; its top table by sight.

The image holds no registers. A page may be the top table when its upper half has present entries, each refers
to a page of the image with no reserved bit set, and so do the entries of the last table it refers to.
"""

from collections.abc import Callable, Iterator, Sequence

from coronel_gdb.dumps.dump import OUTSIDE, Dump
from coronel_gdb.dumps.source import FileSource
from coronel_gdb.errors import DumpError, ReadFault
from model.page_entry import (
    ADDRESS_BITS,
    ENTRIES_PER_TABLE,
    PRESENT,
    Level,
    PagingMode,
    is_leaf,
    reserved_bits,
)
from model.types import PAGE_BYTES, PhysicalAddress

_CHUNK_BYTES = 1 << 20
_MODE = PagingMode()
_LOWER_HALF_BYTES = PAGE_BYTES // 2


class RawMemory:
    """The file is the memory."""

    def __init__(self, source: FileSource) -> None:
        self._source = source
        self.size_bytes = source.size_bytes & -PAGE_BYTES

    def read(self, address: PhysicalAddress, size_bytes: int) -> bytes:
        """Exactly `size_bytes` bytes; `ReadFault` beyond the image."""
        if not 0 <= address <= address + size_bytes <= self.size_bytes:
            at = max(int(address), self.size_bytes)
            raise ReadFault("physical", at, address + size_bytes - at, OUTSIDE)
        try:
            return self._source.read(address, size_bytes)
        except DumpError as error:
            raise ReadFault("physical", address, size_bytes, str(error)) from error

    def ranges(self) -> Sequence[tuple[int, int]]:
        """From 0 to the end of the file."""
        return ((0, self.size_bytes),)

    def top_tables(self, must_map: int | None) -> Iterator[PhysicalAddress]:
        """Pages that may be top tables, ascending; `must_map`: an address whose entry must be present."""
        wanted = None if must_map is None else must_map >> 39 & (ENTRIES_PER_TABLE - 1)
        at = 0
        while at < self.size_bytes:
            at = max(at, self._source.next_data(at) & -PAGE_BYTES)
            chunk = self._source.read(at, min(_CHUNK_BYTES, self.size_bytes - at))
            for page in self._suspects(chunk, wanted):
                if self._plausible(chunk[page : page + PAGE_BYTES]):
                    yield PhysicalAddress(at + page)
            at += len(chunk)

    def _suspects(self, chunk: bytes, wanted: int | None) -> Iterator[int]:
        """Offsets of pages that a look at a few bytes does not rule out."""
        if wanted is not None:
            flags = chunk[8 * wanted :: PAGE_BYTES]
            yield from (index * PAGE_BYTES for index, flag in enumerate(flags) if flag & 0x81 == 1)
            return
        empty = bytes(_LOWER_HALF_BYTES)
        for page in range(0, len(chunk), PAGE_BYTES):
            if chunk[page + _LOWER_HALF_BYTES : page + PAGE_BYTES] != empty:
                yield page

    def _plausible(self, page: bytes) -> bool:
        found = 0
        for index in range(ENTRIES_PER_TABLE - 1, -1, -1):
            if page[8 * index] & PRESENT:
                entry = int.from_bytes(page[8 * index : 8 * index + 8], "little")
                if not self._refers(entry, Level.PML4E):
                    return False
                if index >= ENTRIES_PER_TABLE // 2 and not found:
                    found += 1
                    if not self._table(entry, Level.PDPTE):
                        return False
        return found > 0

    def _refers(self, entry: int, level: Level) -> bool:
        if reserved_bits(entry, level, _MODE):
            return False
        # A mapped device lies outside RAM, a table never does.
        return is_leaf(entry, level) or entry & ADDRESS_BITS < self.size_bytes

    def _table(self, entry: int, level: Level) -> bool:
        """Whether a table is sound: something is present, and everything present is possible."""
        page = self._source.read(entry & ADDRESS_BITS, PAGE_BYTES)
        entries = [
            int.from_bytes(page[at : at + 8], "little")
            for at in range(0, PAGE_BYTES, 8)
            if page[at] & PRESENT
        ]
        return bool(entries) and all(self._refers(one, level) for one in entries)


Judge = Callable[[PhysicalAddress], int]
"""How well the kernel's own segments are mapped by a top table; 0: not at all."""


def find_top_table(memory: RawMemory, must_map: int | None, judge: Judge) -> tuple[PhysicalAddress, int]:
    """The best top table of the image and how many came into question; `DumpError` when there is none.

    Of equals the one with the fewest entries in its lower half is taken (the kernel's own, not a process's),
    then the lowest: all of them map the kernel alike.
    """
    ranked = []
    for root in memory.top_tables(must_map):
        score = judge(root)
        if score > 0:
            lower = memory.read(root, _LOWER_HALF_BYTES)
            users = sum(lower[at] & PRESENT for at in range(0, _LOWER_HALF_BYTES, 8))
            ranked.append((-score, users, root))
    if not ranked:
        raise DumpError("no top page table found in the raw image: name it with --cr3")
    return min(ranked)[2], len(ranked)


def open_raw(source: FileSource) -> Dump:
    """The image; `DumpError` when its size is not that of memory, so it is some other file."""
    rest = source.size_bytes % PAGE_BYTES
    if source.size_bytes < PAGE_BYTES or (rest and source.size_bytes < _CHUNK_BYTES):
        raise DumpError(
            f"{source.name} is no dump: neither ELF core nor kdump, and {source.size_bytes:,} bytes are no "
            "whole number of pages, as a raw image has"
        )
    facts: tuple[tuple[str, str], ...] = ()
    if rest:
        facts = (("rest", f"{rest:,} bytes at its end are no whole page and left out"),)
    return Dump("raw physical memory from address 0", RawMemory(source), facts=facts)
