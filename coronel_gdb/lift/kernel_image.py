"""Where a kernel built like docs/spec.md §2 has its parts, by the symbols of its linker script."""

from dataclasses import dataclass

from coronel_gdb.errors import ReadFault
from coronel_gdb.lift.space import AddressSpace
from coronel_gdb.protocols import Target
from model.address_space import (
    IMAGE_END,
    IMAGE_START,
    STACK_END,
    STACK_GUARD,
    STACK_START,
    ImageSymbols,
    linear_physical,
)
from model.types import PAGE_BYTES, PhysicalAddress, align_up

_LOCK = "paging::lock_"


@dataclass(frozen=True, slots=True)
class KernelImage:
    """The image's symbols, the kernel's own directory (0 before boot step 9), and the placement's end.

    `placement_end` is where the next byte would be placed, rounded up (§2.1). `paging_busy`: the lock of
    the page tables is held, so windows may be open.
    """

    symbols: ImageSymbols
    directory: PhysicalAddress
    placement_end: PhysicalAddress
    paging_busy: bool

    def part_of(self, physical: int) -> str | None:
        """Which part of the image or of the placement area a physical address is, None for neither."""
        symbols = self.symbols
        virtual = physical - linear_physical(IMAGE_START) + IMAGE_START
        for name, start, end in (
            ("kernel code", symbols.text_start, symbols.text_end),
            ("kernel constants", symbols.rodata_start, symbols.rodata_end),
            ("kernel data and bss", symbols.data_start, symbols.bss_end),
            ("gap of the image", symbols.bss_end, STACK_GUARD),
            ("stack guard", STACK_GUARD, STACK_START),
            ("kernel stack", STACK_START, STACK_END),
        ):
            if start <= virtual < end:
                return name
        if linear_physical(IMAGE_END) <= physical < self.placement_end:
            return "placement area"
        return None


def read_image(target: Target, space: AddressSpace) -> KernelImage | None:
    """The image, None for a kernel without these symbols; `ReadFault` where its variables cannot be read."""
    names = {}
    for name in ImageSymbols.names():
        address = target.symbol(name)
        if address is None:
            return None
        names[name] = int(address)
    symbols = ImageSymbols.from_names(names)
    lock = target.symbol(_LOCK)
    try:
        busy = lock is not None and bool(int.from_bytes(space.read(lock, 4), "little"))
    except ReadFault:
        busy = False
    return KernelImage(
        symbols,
        PhysicalAddress(space.read_u64(symbols.kernel_directory)),
        PhysicalAddress(align_up(space.read_u64(symbols.placement), PAGE_BYTES)),
        busy,
    )
