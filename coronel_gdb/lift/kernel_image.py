"""Where a kernel built like docs/spec.md §2 has its parts, by the symbols of its linker script."""

from dataclasses import dataclass

from coronel_gdb.lift.space import AddressSpace
from coronel_gdb.protocols import Target
from model.address_space import IMAGE_START, ImageSymbols, linear, linear_physical
from model.invariants.layout import Area, kernel_areas
from model.types import PAGE_BYTES, PhysicalAddress, align_up


@dataclass(frozen=True, slots=True)
class KernelImage:
    """The image's symbols, the kernel's own directory (0 before boot step 9), and the placement's end.

    `placement_end` is where the next byte would be placed, rounded up (§2.1).
    """

    symbols: ImageSymbols
    directory: PhysicalAddress
    placement_end: PhysicalAddress

    @property
    def areas(self) -> list[Area]:
        """The rows of docs/spec.md §2."""
        return kernel_areas(self.symbols.sections(), self.placement_end)

    def part_of(self, physical: int) -> str | None:
        """Which part of the image or of the placement area a physical address is, None for neither."""
        if not linear_physical(IMAGE_START) <= physical < self.placement_end:
            return None
        virtual = linear(physical)
        return next((area.name for area in self.areas if area.start <= virtual < area.end), None)


def read_image(target: Target, space: AddressSpace) -> KernelImage | None:
    """The image, None for a kernel without these symbols; `ReadFault` where its variables cannot be read."""
    names = {}
    for name in ImageSymbols.names():
        address = target.symbol(name)
        if address is None:
            return None
        names[name] = int(address)
    symbols = ImageSymbols.from_names(names)
    return KernelImage(
        symbols,
        PhysicalAddress(space.read_u64(symbols.kernel_directory)),
        PhysicalAddress(align_up(space.read_u64(symbols.placement), PAGE_BYTES)),
    )
