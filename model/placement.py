"""The placement allocator: memory during the boot, never given back (docs/spec.md §3)."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from model.address_space import IMAGE_END, WINDOW_BASE, linear, linear_physical
from model.events import Journal
from model.memory import PhysicalRange, VirtualMemory
from model.types import PAGE_BYTES, U64_MASK, PhysicalAddress, VirtualAddress, align_up

ALIGNMENT_BYTES: Final = 16
_ONE_MIB: Final = 1 << 20


def placement_limit(ram: tuple[PhysicalRange, ...]) -> PhysicalAddress:
    """Where the placement area must end (§3.3): below the windows, in the RAM that holds physical 1 MiB."""
    for region in ram:
        if region.start <= _ONE_MIB < region.end:
            return PhysicalAddress(min(linear_physical(WINDOW_BASE), region.end))
    return PhysicalAddress(_ONE_MIB)


def placed(next_free: int, size_bytes: int, alignment: int, reserved: Iterable[PhysicalRange]) -> int:
    """Where an allocation starts: the first place in no reserved range (§3.2).

    The ranges ascend, so one look at each is enough.
    """
    start = align_up(next_free, alignment)
    for hole in reserved:
        if start < hole.end and hole.start < start + size_bytes:
            start = align_up(hole.end, alignment)
    return start


@dataclass(slots=True)
class PlacementAllocator:
    """`position` is the virtual address of `__placement`; `reserved` ranges are ascending (§4.2)."""

    memory: VirtualMemory
    journal: Journal
    position: VirtualAddress
    limit: PhysicalAddress
    reserved: tuple[PhysicalRange, ...]
    sealed: bool = False

    def begin(self) -> None:
        """Start at `_end` (§3.1)."""
        self.memory.write_u64(self.position, linear_physical(IMAGE_END))

    @property
    def next_free(self) -> PhysicalAddress:
        """`__placement`: the physical address of the next free byte (§3.1)."""
        return PhysicalAddress(self.memory.read_u64(self.position))

    @property
    def end(self) -> PhysicalAddress:
        """The placement end (§2.1)."""
        return PhysicalAddress(align_up(self.next_free, PAGE_BYTES))

    @property
    def available_bytes(self) -> int:
        """What is left below the limit (§3.3)."""
        return max(0, self.limit - self.next_free)

    def seal(self) -> None:
        """Give nothing from now on (§3.4)."""
        self.sealed = True

    def contains(self, address: int) -> bool:
        """Whether a virtual address lies in the placement area (§2, §8.3)."""
        return IMAGE_END <= address < linear(self.end)

    def kalloc(self, size_bytes: int, *, align: bool = False) -> VirtualAddress:
        """Give `size_bytes` of zeroed memory, at a page with `align`; 0 when that is not possible.

        A failure changes nothing and counts no error (§3.3). The physical address that the kernel gives
        besides is that of the linear map (§1.1).
        """
        size_bytes &= U64_MASK
        address = self._kalloc(size_bytes, PAGE_BYTES if align else ALIGNMENT_BYTES)
        self.journal.conclude("placement_kalloc", (size_bytes, int(align)), address)
        return address

    def _kalloc(self, size_bytes: int, alignment: int) -> VirtualAddress:
        if size_bytes == 0 or self.sealed:  # §3.2, §3.4
            return VirtualAddress(0)
        start = placed(self.next_free, size_bytes, alignment, self.reserved)
        # §3.3: an end that would wrap lies behind every limit too.
        if start + size_bytes > self.limit:
            return VirtualAddress(0)
        self.memory.write_u64(self.position, start + size_bytes)
        self.memory.fill(linear(start), size_bytes)
        return linear(start)
