"""Addresses, sizes and alignment (docs/spec.md, introduction).

A physical address, a virtual address and a size are never one type: the first two are distinct
`NewType`s, sizes are plain integers whose names end in `_bytes`.
"""

from typing import Final, NewType

PhysicalAddress = NewType("PhysicalAddress", int)
VirtualAddress = NewType("VirtualAddress", int)

PAGE_BYTES: Final = 4096
LARGE_PAGE_BYTES: Final = 2 << 20
HUGE_PAGE_BYTES: Final = 1 << 30
U64_MASK: Final = (1 << 64) - 1


def align_up(value: int, alignment: int) -> int:
    """The lowest multiple of `alignment` (a power of two) that is not below `value`."""
    return (value + alignment - 1) & ~(alignment - 1)


def align_down(value: int, alignment: int) -> int:
    """The highest multiple of `alignment` (a power of two) that is not above `value`."""
    return value & ~(alignment - 1)


def is_aligned(value: int, alignment: int) -> bool:
    """Whether `value` is a multiple of `alignment` (a power of two)."""
    return value & (alignment - 1) == 0
