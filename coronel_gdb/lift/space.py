"""Virtual memory read through the guest's own page tables, in bulk.

The debugger is never asked to translate: what is read here is exactly what the walk of
`model.paging` reaches, so a damaged table shows as a fault with its level and not as a failed read.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from coronel_gdb.errors import ReadFault
from coronel_gdb.protocols import PhysicalMemory
from model.paging import FaultReason, PageFault, PagingMode, Translation, walk
from model.types import PAGE_BYTES, PhysicalAddress, VirtualAddress, align_down

_LARGEST_READ_BYTES = 64 << 20
_ACCESSED_DIRTY = 0x60
_MOST_TABLES_KEPT = 8192  # 32 MiB: a walk of a larger space reads some tables twice


@dataclass(frozen=True, slots=True)
class Run:
    """Bytes of consecutive addresses; None where they cannot be read, and then why.

    `lost` are pages whose memory the target does not have (a dump left them out), or that of their tables.
    """

    start: VirtualAddress
    end: VirtualAddress
    data: bytes | None
    reason: str = ""
    lost: bool = False


class AddressSpace:
    """One address space: a root table and the mode it is walked in.

    Pages that hold tables are read once and kept, so all answers of one space agree.
    """

    def __init__(self, memory: PhysicalMemory, root: PhysicalAddress, mode: PagingMode) -> None:
        self.memory = memory
        self.root = root
        self.mode = mode
        self._tables: dict[int, bytes | None] = {}
        self._missing: dict[int, str] = {}

    def load(self, addresses: Iterable[int]) -> None:
        """Read the tables at these physical addresses now, neighbours together; `table` has them then."""
        wanted = sorted({address for address in addresses if address not in self._tables})
        if len(self._tables) + len(wanted) > _MOST_TABLES_KEPT:
            self._tables.clear()
        first = 0
        for at in range(1, len(wanted) + 1):
            if at == len(wanted) or wanted[at] != wanted[at - 1] + PAGE_BYTES:
                self._load_neighbours(wanted[first], at - first)
                first = at

    def _load_neighbours(self, start: int, count: int) -> None:
        try:
            data = self.memory.read(PhysicalAddress(start), count * PAGE_BYTES)
        except ReadFault:
            # One of them cannot be read: `table` finds out which.
            for address in range(start, start + count * PAGE_BYTES, PAGE_BYTES):
                self.table(PhysicalAddress(address))
            return
        for offset in range(0, count * PAGE_BYTES, PAGE_BYTES):
            self._tables[start + offset] = data[offset : offset + PAGE_BYTES]

    def table(self, address: PhysicalAddress) -> bytes | None:
        """The 4096 bytes of the table at that physical address, None when they cannot be read."""
        if address not in self._tables:
            try:
                self._tables[address] = self.memory.read(address, PAGE_BYTES)
            except ReadFault as fault:
                self._tables[address] = None
                self._missing[address] = fault.reason
        return self._tables[address]

    def entry(self, address: PhysicalAddress) -> int | None:
        """The 8-byte entry at that physical address, None when it cannot be read."""
        page = address & -PAGE_BYTES
        data = self._tables.get(page) or self.table(PhysicalAddress(page))
        return None if data is None else int.from_bytes(data[address - page : address - page + 8], "little")

    def translate(self, address: VirtualAddress) -> Translation | PageFault:
        """The walk from this space's root."""
        return walk(self.entry, self.root, address, self.mode)

    def read(self, address: VirtualAddress, size_bytes: int) -> bytes:
        """Exactly `size_bytes` bytes; `ReadFault` names the first address that cannot be read."""
        if address + size_bytes > 1 << 64:
            raise ReadFault("virtual", address, size_bytes, "it reaches beyond the last address")
        data = bytearray()
        for run in self.runs(address, VirtualAddress(address + size_bytes)):
            if run.data is None:
                raise ReadFault("virtual", run.start, run.end - run.start, run.reason)
            data += run.data
        return bytes(data)

    def read_u64(self, address: VirtualAddress) -> int:
        """The 8-byte integer there; `ReadFault` when it cannot be read."""
        return int.from_bytes(self.read(address, 8), "little")

    def runs(self, start: VirtualAddress, end: VirtualAddress) -> Iterator[Run]:
        """All of [start, end) in ascending order, readable and unreadable parts, few and large."""
        for piece in self._pieces(start, min(end, 1 << 64)):
            if isinstance(piece, Run):
                yield piece
                continue
            virtual, physical, size_bytes = piece
            try:
                data = self.memory.read(PhysicalAddress(physical), size_bytes)
                yield Run(VirtualAddress(virtual), VirtualAddress(virtual + size_bytes), data)
            except ReadFault as fault:
                yield from self._page_by_page(virtual, physical, size_bytes, fault)

    def why_lost(self, address: VirtualAddress, size_bytes: int) -> str:
        """Why the target does not have that memory; nothing when it has, or where nothing is mapped."""
        runs = self.runs(address, VirtualAddress(address + size_bytes))
        return next((run.reason for run in runs if run.lost), "")

    def _page_by_page(self, virtual: int, physical: int, size_bytes: int, fault: ReadFault) -> Iterator[Run]:
        """A bulk read failed: find out which of its pages can be read after all."""
        at = virtual
        while at < virtual + size_bytes:
            stop = min(align_down(at, PAGE_BYTES) + PAGE_BYTES, virtual + size_bytes)
            data, reason = None, fault.reason
            try:
                data = self.memory.read(PhysicalAddress(physical + at - virtual), stop - at)
            except ReadFault as page_fault:
                reason = f"frame {physical + at - virtual:#x}: {page_fault.reason}"
            lost = data is None
            yield Run(VirtualAddress(at), VirtualAddress(stop), data, reason if lost else "", lost)
            at = stop

    def _pieces(self, start: int, end: int) -> Iterator[Run | tuple[int, int, int]]:
        """Unmapped stretches as runs, mapped ones as (virtual, physical, size), merged while contiguous."""
        at, pending = start, (0, 0, 0)
        while at < end:
            found = self.translate(VirtualAddress(at))
            if isinstance(found, Translation):
                size = self._contiguous(at, end, found) - at
                virtual, physical, length = pending
                if length and physical + length == found.physical and length + size <= _LARGEST_READ_BYTES:
                    pending = (virtual, physical, length + size)
                else:
                    if length:
                        yield pending
                    pending = (at, found.physical, size)
                at += size
            else:
                if pending[2]:
                    yield pending
                pending = (0, 0, 0)
                stop = min(_next_address(at, found, self.mode.levels), end)
                lost = found.reason is FaultReason.UNREADABLE
                why = f": {self._missing[found.table]}" if lost and found.table in self._missing else ""
                yield Run(VirtualAddress(at), VirtualAddress(stop), None, explain(found) + why, lost)
                at = stop
        if pending[2]:
            yield pending

    def _contiguous(self, at: int, end: int, found: Translation) -> int:
        """The end of the pages that follow `at` virtually and physically, as far as one table says."""
        stop = align_down(at, found.page_bytes) + found.page_bytes
        step = found.steps[-1]
        data = self.table(PhysicalAddress(align_down(step.entry_address, PAGE_BYTES)))
        if data is None or found.page_bytes != PAGE_BYTES:
            return min(stop, end)
        # An entry that differs from the one before in the address alone maps the next page with equal rights.
        entry = step.entry
        for following in memoryview(data).cast("Q")[step.index + 1 :]:
            entry += PAGE_BYTES
            if stop >= end or (following ^ entry) & ~_ACCESSED_DIRTY:
                break
            stop += PAGE_BYTES
        return min(stop, end)


class Pages:
    """Small pieces of a space, for whoever follows a list: a page is read once, whole."""

    def __init__(self, space: AddressSpace) -> None:
        self._space = space
        self._pages: dict[int, bytes | None] = {}

    def read(self, address: int, size_bytes: int) -> bytes | None:
        """The bytes there, None where any of them cannot be read."""
        start = align_down(address, PAGE_BYTES)
        offset = address - start
        if offset + size_bytes > PAGE_BYTES:
            return self._read(address, size_bytes)
        if start not in self._pages:
            self._pages[start] = self._read(start, PAGE_BYTES)
        data = self._pages[start]
        return data and data[offset : offset + size_bytes]

    def _read(self, address: int, size_bytes: int) -> bytes | None:
        try:
            return self._space.read(VirtualAddress(address), size_bytes)
        except ReadFault:
            return None


def _next_address(at: int, fault: PageFault, levels: int) -> int:
    """The first address behind `at` that the same fault does not decide."""
    if fault.level is None:  # not canonical: go on where the upper half begins
        return (1 << 64) - (1 << (11 + 9 * levels))
    reach = 1 << (12 + 9 * (fault.level - 1))
    return align_down(at, reach) + reach


def explain(fault: PageFault) -> str:
    """Why an address has no translation, in a few words with the level and the entry."""
    if fault.reason is FaultReason.NON_CANONICAL:
        return "the address is not canonical (#GP)"
    assert fault.level is not None
    if fault.reason is FaultReason.UNREADABLE:
        return f"the table that holds its {fault.level.name} cannot be read (at {fault.table or 0:#x})"
    step = fault.steps[-1]
    if fault.reason is FaultReason.RESERVED_BIT:
        return f"its {step.level.name} {step.entry:#x} has reserved bits {fault.reserved_bits:#x} set"
    return f"not mapped: its {step.level.name} {step.entry:#x} is not present"
