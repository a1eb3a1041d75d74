"""Address spaces: the tables of docs/spec.md §2 and §14.4 in numbers, and the image's symbols."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from model.types import HUGE_PAGE_BYTES, LARGE_PAGE_BYTES, PhysicalAddress, VirtualAddress

KERNEL_BASE: Final = VirtualAddress(0xFFFF_FFFF_8000_0000)
IMAGE_START: Final = VirtualAddress(KERNEL_BASE + (1 << 20))
STACK_GUARD: Final = VirtualAddress(0xFFFF_FFFF_8032_5000)
STACK_START: Final = VirtualAddress(0xFFFF_FFFF_8032_6000)
STACK_END: Final = VirtualAddress(0xFFFF_FFFF_8033_6000)
IMAGE_END: Final = STACK_END  # `_end`: the placement area begins
WINDOW_BASE: Final = VirtualAddress(0xFFFF_FFFF_BFE0_0000)
WINDOW_END: Final = VirtualAddress(WINDOW_BASE + LARGE_PAGE_BYTES)
DEVICE_BASE: Final = VirtualAddress(0xFFFF_FFFF_C000_0000)
DEVICE_END: Final = VirtualAddress(0xFFFF_FFFF_FFFF_F000)

# The lower half of a process: the table of §14.4. What is not named there is never mapped.
PROGRAM_START: Final = VirtualAddress(0x40_0000)
PROGRAM_END: Final = VirtualAddress(0x800_0000)
USER_HEAP_START: Final = PROGRAM_END
USER_HEAP_LIMIT: Final = VirtualAddress(0x4000_0000)
MMAP_START: Final = USER_HEAP_LIMIT
MMAP_END: Final = VirtualAddress(0x7000_0000)
USER_STACK_START: Final = VirtualAddress(0x7F80_0000)
USER_STACK_END: Final = VirtualAddress(0x8000_0000)
ARGUMENTS: Final = VirtualAddress(USER_STACK_END - 128)  # §14.2

EARLY_MAP_BYTES: Final = HUGE_PAGE_BYTES  # §1.2: physical [0, 1 GiB)


def linear(physical: int) -> VirtualAddress:
    """Where the kernel sees a physical address of its image or placement area (§1.1)."""
    return VirtualAddress(physical + KERNEL_BASE)


def linear_physical(virtual: int) -> PhysicalAddress:
    """The physical address of a linear virtual one (§1.1)."""
    return PhysicalAddress(virtual - KERNEL_BASE)


@dataclass(frozen=True, slots=True)
class ImageSymbols:
    """Where the linker put what the model touches; all virtual."""

    text_start: VirtualAddress
    text_end: VirtualAddress
    rodata_start: VirtualAddress
    rodata_end: VirtualAddress
    data_start: VirtualAddress
    bss_end: VirtualAddress
    window_table: VirtualAddress
    placement: VirtualAddress
    placement_errors: VirtualAddress
    paging_errors: VirtualAddress
    kernel_directory: VirtualAddress
    physical_manager: VirtualAddress
    kernel_virtual_manager: VirtualAddress
    kernel_heap: VirtualAddress
    process_list: VirtualAddress

    def by_name(self) -> dict[str, VirtualAddress]:
        """The addresses under the names that the kernel's source gives them, and `_end`."""
        return {name: getattr(self, field) for field, name in _NAMES.items()} | {"_end": IMAGE_END}

    def sections(self) -> dict[str, int]:
        """The section symbols of §2 by role."""
        roles = ("text_start", "text_end", "rodata_start", "rodata_end", "data_start", "bss_end")
        return {role: getattr(self, role) for role in roles} | {"end": IMAGE_END}

    @staticmethod
    def names() -> tuple[str, ...]:
        """The names that `from_names` needs."""
        return tuple(_NAMES.values())

    @staticmethod
    def from_names(symbols: Mapping[str, int]) -> "ImageSymbols":
        """The addresses of a real image; `KeyError` for a name that it does not have."""
        return ImageSymbols(**{field: VirtualAddress(symbols[name]) for field, name in _NAMES.items()})


_NAMES: Final = {
    "text_start": "_text_start",
    "text_end": "_text_end",
    "rodata_start": "_rodata_start",
    "rodata_end": "_rodata_end",
    "data_start": "_data_start",
    "bss_end": "_bss_end",
    "window_table": "paging::window_table_",
    "placement": "__placement",
    "placement_errors": "memory::placement_errors_",
    "paging_errors": "paging::errors_",
    "kernel_directory": "paging::kernel_directory_",
    "physical_manager": "g_physical_manager",
    "kernel_virtual_manager": "g_kernel_virtual_manager",
    "kernel_heap": "g_kernel_heap",
    "process_list": "g_process_list",
}


# An image that no linker made but that obeys §2: what a machine boots when no other is given.
PLAIN_IMAGE: Final = ImageSymbols.from_names(
    {
        "_text_start": IMAGE_START,
        "_text_end": IMAGE_START + 0x10000,
        "_rodata_start": IMAGE_START + 0x10000,
        "_rodata_end": IMAGE_START + 0x14000,
        "_data_start": IMAGE_START + 0x14000,
        "_bss_end": IMAGE_START + 0x20000,
        "paging::window_table_": IMAGE_START + 0x18000,
        "__placement": IMAGE_START + 0x19000,
        "memory::placement_errors_": IMAGE_START + 0x19008,
        "paging::errors_": IMAGE_START + 0x19030,
        "paging::kernel_directory_": IMAGE_START + 0x19058,
        "g_physical_manager": IMAGE_START + 0x19060,
        "g_kernel_virtual_manager": IMAGE_START + 0x19068,
        "g_kernel_heap": IMAGE_START + 0x19070,
        "g_process_list": IMAGE_START + 0x19078,
    }
)
