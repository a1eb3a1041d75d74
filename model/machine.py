"""The whole machine: boot in the order of docs/spec.md §9, then the entry points of the kernel (§8.3).

All state lies in `physical`, at the addresses and in the layouts of the real kernel; the objects here
hold addresses only.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from model.address_space import (
    IMAGE_END,
    IMAGE_START,
    PLAIN_IMAGE,
    WINDOW_BASE,
    ImageSymbols,
    linear,
    linear_physical,
)
from model.errors import BootStopped, ErrorKind, Refusal
from model.events import Journal, Listener, Part, discard
from model.frames import FrameAllocator
from model.heap import HeapAllocator
from model.layouts import FRAME, HEAP, PHYSICAL, TRACE_RECORD_BYTES, VIRT
from model.memory import PhysicalMemory, PhysicalRange, VirtualMemory
from model.multiboot import MapEntry, managed_ranges, ram_regions, reserved_ranges
from model.page_tables import PageTables
from model.paging import PagingMode
from model.placement import PlacementAllocator, placement_limit
from model.process import ProcessTable
from model.regions import PoolGrowth, RegionAllocator
from model.system_calls import SystemCalls
from model.types import (
    LARGE_PAGE_BYTES,
    PAGE_BYTES,
    U64_MASK,
    PhysicalAddress,
    VirtualAddress,
    align_up,
)


@dataclass(frozen=True, slots=True)
class Machine:
    """A machine whose kernel has booted."""

    memory: VirtualMemory
    image: ImageSymbols
    placement: PlacementAllocator
    frames: FrameAllocator
    paging: PageTables
    regions: RegionAllocator
    heap: HeapAllocator
    processes: ProcessTable
    system_calls: SystemCalls

    @staticmethod
    def boot(
        memory_map: Sequence[MapEntry],
        reserved: Iterable[PhysicalRange] = (),
        image: ImageSymbols = PLAIN_IMAGE,
        *,
        trace_records: int = 0,
        mode: PagingMode | None = None,
        listener: Listener = discard,
    ) -> "Machine":
        """Boot a kernel image on the RAM of a memory map; `reserved` is what the boot loader left there.

        `BootStopped` when the kernel would stop. `mode` is the processor's, by default one with
        52 physical bits; `trace_records` is the command line's `trace=N` (§12.2).
        """
        # §9 step 1
        ram, holes = ram_regions(memory_map), reserved_ranges(reserved)
        image_range = PhysicalRange(linear_physical(IMAGE_START), linear_physical(IMAGE_END))
        memory = VirtualMemory(PhysicalMemory(ram), mode or PagingMode())
        limit = placement_limit(ram)
        if limit < image_range.end:  # §3.3: RAM ends before `_end`
            raise _out_of_memory(image_range.end - image_range.start, limit - image_range.start)
        # Step 2
        journal = Journal(Part.PLACEMENT, memory, image.placement_errors, listener)
        placement = PlacementAllocator(memory, journal, image.placement, limit, holes)
        placement.begin()
        # Step 3
        frames = FrameAllocator.at(memory, _place(placement, PHYSICAL.size_bytes), listener)
        memory.write_u64(image.physical_manager, frames.fields.address)
        # Step 4
        paging = PageTables.of(memory, frames, image, listener)
        regions = RegionAllocator.at(
            memory, _place(placement, VIRT.size_bytes), PoolGrowth(frames, paging), listener
        )
        memory.write_u64(image.kernel_virtual_manager, regions.fields.address)
        # Step 5
        heap = HeapAllocator.at(memory, _place(placement, HEAP.size_bytes), regions, frames, paging, listener)
        # Step 5a. The ring is the kernel's diary: what it writes there is no state of an allocator.
        if trace_records:
            _place(placement, TRACE_RECORD_BYTES * trace_records, align=True)
        # Step 6
        regions.nodes.add_page(_place(placement, PAGE_BYTES, align=True))
        # Step 7
        physical_end = PhysicalAddress(max((region.end for region in ram), default=0))
        nodes_bytes = physical_end // PAGE_BYTES * FRAME.size_bytes
        frames.begin(physical_end, _place(placement, nodes_bytes, align=True))
        placement.seal()
        # Step 8
        for managed in reversed(managed_ranges(ram, holes, placement.end)):
            frames.setup(managed.start, managed.end - managed.start)
        # Step 9
        if isinstance(paging.build_kernel_directory(placement.end), Refusal):
            raise _out_of_memory(PAGE_BYTES, 0)
        # Step 10
        start = linear(align_up(placement.end, LARGE_PAGE_BYTES))
        regions.setup(start, WINDOW_BASE - start)
        # Step 11
        memory.write_u64(image.kernel_heap, heap.fields.address)
        processes = ProcessTable.of(paging, frames, heap, listener)
        calls = SystemCalls.of(processes.journal, listener)
        return Machine(memory, image, placement, frames, paging, regions, heap, processes, calls)

    @property
    def physical(self) -> PhysicalMemory:
        """The machine's RAM."""
        return self.memory.physical

    @property
    def cr3(self) -> PhysicalAddress:
        """The directory in use."""
        return PhysicalAddress(self.memory.cr3 or 0)

    @property
    def symbols(self) -> Mapping[str, int]:
        """The image's symbols by name; values are virtual addresses."""
        return self.image.by_name()

    def placement_kalloc(self, size_bytes: int, *, align: bool = False) -> VirtualAddress:
        """`placement_kalloc` (§3); after the boot it is sealed and gives 0."""
        return self.placement.kalloc(size_bytes, align=align)

    def kalloc(self, size_bytes: int) -> VirtualAddress:
        """Memory from the heap, or before there is one from the placement allocator; or 0 (§8.3)."""
        if self.memory.read_u64(self.image.kernel_heap) == 0:
            return self.placement_kalloc(size_bytes)
        return self.heap.malloc(size_bytes)

    def kfree(self, pointer: int) -> bool:
        """Give back what `kalloc` gave; placement memory is refused (§8.3)."""
        pointer &= U64_MASK
        no_heap = self.memory.read_u64(self.image.kernel_heap) == 0
        if self.placement.contains(pointer) or (no_heap and pointer != 0):
            refusal = Refusal(ErrorKind.INVALID_POINTER, pointer)
            return bool(self.placement.journal.conclude("kfree", (pointer,), refusal))
        return not no_heap and self.heap.free(pointer)


def _place(placement: PlacementAllocator, size_bytes: int, *, align: bool = False) -> VirtualAddress:
    """Placement memory for the boot, which ends when there is none (§3.3)."""
    address = placement.kalloc(size_bytes, align=align)
    if address == 0:
        raise _out_of_memory(size_bytes, placement.available_bytes)
    return address


def _out_of_memory(needed_bytes: int, available_bytes: int) -> BootStopped:
    return BootStopped(
        f"coronel: out of memory at boot: {needed_bytes} bytes needed, {available_bytes} available"
    )
