"""Virtual regions: who may use which addresses (docs/spec.md §6).

The manager knows free regions only: in ascending order, never touching, never empty.
"""

from dataclasses import dataclass

from model.errors import ErrorKind, Refusal
from model.events import Journal, Listener, Part, discard
from model.frames import FrameAllocator
from model.layouts import VIRT
from model.memory import VirtualMemory
from model.page_tables import PageFlags, PageTables
from model.records import Region
from model.region_nodes import NodeHeap, RegionNodes
from model.structure import Structure
from model.types import PAGE_BYTES, U64_MASK, VirtualAddress, align_up, is_aligned

SPARES_WANTED = 4  # §6.3
_NULL = VirtualAddress(0)


@dataclass(frozen=True, slots=True)
class PoolGrowth:
    """Where the kernel manager gets more nodes from (§6.3)."""

    frames: FrameAllocator
    paging: PageTables


@dataclass(frozen=True, slots=True)
class RegionAllocator:
    """The object `virt` and its nodes, both in memory; without `growth` the pool stays as it is."""

    fields: Structure
    nodes: RegionNodes
    journal: Journal
    growth: PoolGrowth | None

    @staticmethod
    def at(
        memory: VirtualMemory,
        address: VirtualAddress,
        growth: PoolGrowth | None = None,
        listener: Listener = discard,
        heap: NodeHeap | None = None,
    ) -> "RegionAllocator":
        """The manager whose object lies at `address`; its nodes come from a pool, or from `heap` (§15.6)."""
        fields = Structure(memory, VIRT, address)
        journal = Journal(Part.VIRT, memory, fields.field_address("errors_"), listener)
        return RegionAllocator(fields, RegionNodes(fields, heap), journal, growth)

    def setup(self, start: int, size_bytes: int) -> bool:
        """Manage [start, start + size_bytes), all free (§6.7)."""
        start, size_bytes = start & U64_MASK, size_bytes & U64_MASK
        return bool(self.journal.conclude("setup", (start, size_bytes), self._setup(start, size_bytes)))

    def alloc(self, size_bytes: int) -> VirtualAddress:
        """Take addresses from the first region that is large enough; 0 when none is (§6.4)."""
        size_bytes &= U64_MASK
        self._grow_pool()
        return VirtualAddress(self.journal.conclude("alloc", (size_bytes,), self._alloc(size_bytes)))

    def alloc_at(self, address: int, size_bytes: int) -> VirtualAddress:
        """Take [address, address + size_bytes); 0 when it is not free (§6.5)."""
        address, size_bytes = address & U64_MASK, size_bytes & U64_MASK
        self._grow_pool()
        outcome = self._alloc_at(address, size_bytes)
        return VirtualAddress(self.journal.conclude("alloc_at", (address, size_bytes), outcome))

    def free(self, address: int, size_bytes: int) -> bool:
        """Give addresses back (§6.6)."""
        address, size_bytes = address & U64_MASK, size_bytes & U64_MASK
        self._grow_pool()
        return bool(self.journal.conclude("free", (address, size_bytes), self._free(address, size_bytes)))

    def _setup(self, start: int, size_bytes: int) -> int | Refusal:
        # check
        end = start + size_bytes
        if not is_aligned(start, PAGE_BYTES) or not is_aligned(end, PAGE_BYTES) or end > U64_MASK:
            return Refusal(ErrorKind.INVALID_POINTER, start)
        node = self.nodes.take_spare() if size_bytes else _NULL  # §6.7: a size of 0 makes no region
        if size_bytes and node == _NULL:
            return Refusal(ErrorKind.OUT_OF_MEMORY, start)
        # commit
        self.fields.set("start_", start)
        self.fields.set("end_", end)
        if size_bytes:
            self.nodes.set_extent(node, start, size_bytes)
            self.nodes.insert(node, _NULL, _NULL)
        return 1

    def _alloc(self, size_bytes: int) -> int | Refusal:
        # check (§6.4)
        if size_bytes == 0:
            return 0
        needed_bytes = align_up(size_bytes, PAGE_BYTES)  # what would wrap is larger than every region
        # find
        for region in self.nodes.walk():
            if isinstance(region, Refusal):
                return region
            if region.size_bytes >= needed_bytes:
                # split, commit
                self._keep_above(region, region.start + needed_bytes)
                return region.start
        return Refusal(ErrorKind.VIRTUAL_SPACE_EXHAUSTED, size_bytes)

    def _alloc_at(self, address: int, size_bytes: int) -> int | Refusal:
        # check (§6.5)
        if size_bytes == 0 or not is_aligned(address, PAGE_BYTES):
            return Refusal(ErrorKind.INVALID_POINTER, address)
        end = address + align_up(size_bytes, PAGE_BYTES)
        # find
        for region in self.nodes.walk():
            if isinstance(region, Refusal):
                return region
            if region.start <= address and end <= region.start + region.size_bytes:
                break
        else:
            return Refusal(ErrorKind.VIRTUAL_SPACE_EXHAUSTED, address)
        # split, commit
        if address == region.start:
            self._keep_above(region, end)
            return address
        if end < region.start + region.size_bytes:
            spare = self.nodes.take_spare()
            if spare == _NULL:
                return Refusal(ErrorKind.OUT_OF_MEMORY, address)
            self.nodes.set_extent(spare, end, region.start + region.size_bytes - end)
            self.nodes.insert(spare, region.node, region.next)
        self.nodes.set_extent(region.node, region.start, address - region.start)
        return address

    def _free(self, address: int, size_bytes: int) -> int | Refusal:
        # check (§6.6)
        end = address + align_up(size_bytes, PAGE_BYTES)
        inside = self.fields.get("start_") <= address and end <= self.fields.get("end_")
        if size_bytes == 0 or not is_aligned(address, PAGE_BYTES) or not inside:
            return Refusal(ErrorKind.INVALID_POINTER, address)
        # find: the free regions below and above
        below: Region | None = None
        above: Region | None = None
        for region in self.nodes.walk():
            if isinstance(region, Refusal):
                return region
            if region.start >= end:
                above = region
                break
            if region.start + region.size_bytes > address:
                return Refusal(ErrorKind.DOUBLE_FREE, address)
            below = region
        joins_below = below is not None and below.start + below.size_bytes == address
        joins_above = above is not None and above.start == end
        # commit
        if below is not None and joins_below:
            grown_end = end
            if above is not None and joins_above:
                grown_end = above.start + above.size_bytes
                self.nodes.remove(above)
            self.nodes.set_extent(below.node, below.start, grown_end - below.start)
            return 1
        if above is not None and joins_above:
            self.nodes.set_extent(above.node, address, above.start + above.size_bytes - address)
            return 1
        spare = self.nodes.take_spare()
        if spare == _NULL:
            return Refusal(ErrorKind.OUT_OF_MEMORY, address)
        self.nodes.set_extent(spare, address, end - address)
        self.nodes.insert(spare, below.node if below else _NULL, above.node if above else _NULL)
        return 1

    def _keep_above(self, region: Region, start: int) -> None:
        """Cut a region at its front; used up, it leaves the list (§6.4)."""
        end = region.start + region.size_bytes
        if start == end:
            self.nodes.remove(region)
        else:
            self.nodes.set_extent(region.node, start, end - start)

    def _grow_pool(self) -> None:
        """Add a page of nodes when few are left; what fails is undone and not our error (§6.3)."""
        if self.growth is None or self.fields.get("spare_count_") >= SPARES_WANTED:
            return
        frames, paging = self.growth.frames, self.growth.paging
        page = self._alloc(PAGE_BYTES)
        if isinstance(page, Refusal):
            return
        frame = frames.alloc()
        if frame == 0:
            self._free(page, PAGE_BYTES)
            return
        if not paging.map(paging.kernel_directory, page, frame, PageFlags.WRITE):
            frames.free(frame)
            self._free(page, PAGE_BYTES)
            return
        self.fields.memory.fill(VirtualAddress(page), PAGE_BYTES)
        self.nodes.add_page(VirtualAddress(page))
