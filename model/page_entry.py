"""One entry of an x86-64 paging table: its bits, its level and its rules (SDM vol. 3A §4.5).

The names of levels and bits are those of the manual. `model.paging` walks with these rules, and
`model.page_tables` builds tables by them.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from model.types import PAGE_BYTES, PhysicalAddress

# SDM vol. 3A tables 4-14 to 4-20: the bits every level shares.
PRESENT: Final = 1 << 0
WRITABLE: Final = 1 << 1
USER: Final = 1 << 2
WRITE_THROUGH: Final = 1 << 3
CACHE_DISABLE: Final = 1 << 4
ACCESSED: Final = 1 << 5
DIRTY: Final = 1 << 6
PAGE_SIZE: Final = 1 << 7  # PDPTE and PDE: the entry maps a page. A PTE has PAT here.
GLOBAL: Final = 1 << 8
LARGE_PAT: Final = 1 << 12  # PDPTE and PDE that map a page: PAT, no address bit
NO_EXECUTE: Final = 1 << 63

ENTRIES_PER_TABLE: Final = 512
ENTRY_BYTES: Final = 8


def bits(high: int, low: int) -> int:
    """The mask of bits high:low, both included, as the SDM writes them."""
    return (1 << (high + 1)) - (1 << low)


ADDRESS_BITS: Final = bits(51, 12)


class Level(IntEnum):
    """What kind of entry a table holds; the number counts upwards from the smallest page."""

    PTE = 1
    PDE = 2
    PDPTE = 3
    PML4E = 4
    PML5E = 5

    @property
    def span_bytes(self) -> int:
        """Bytes of virtual addresses that one entry of this level translates."""
        return PAGE_BYTES << (9 * (self - 1))


@dataclass(frozen=True, slots=True)
class PagingMode:
    """How this processor walks: CR4.LA57, MAXPHYADDR, EFER.NXE, 1-GByte pages (SDM §4.1.4).

    `ValueError` for a number of levels or a width that no processor has.
    """

    levels: int = 4
    physical_bits: int = 52
    nx_enabled: bool = True
    huge_pages: bool = True

    def __post_init__(self) -> None:
        if self.levels not in (4, 5):
            raise ValueError(f"paging has 4 or 5 levels, not {self.levels}")
        if not 32 <= self.physical_bits <= 52:
            raise ValueError(f"a physical address has 32 to 52 bits, not {self.physical_bits}")

    @property
    def top(self) -> Level:
        """The level of the root table's entries."""
        return Level(self.levels)


@dataclass(frozen=True, slots=True)
class Rights:
    """What all entries of a walk together allow (SDM §4.6.1)."""

    writable: bool
    user: bool
    executable: bool

    def restricted_by(self, entry: int) -> "Rights":
        """These rights after one more entry: W and U need every entry, X falls by any NX (§4.6.1)."""
        return Rights(
            writable=self.writable and entry & WRITABLE != 0,
            user=self.user and entry & USER != 0,
            executable=self.executable and entry & NO_EXECUTE == 0,
        )


ALL_RIGHTS: Final = Rights(writable=True, user=True, executable=True)


def table_index(address: int, level: Level) -> int:
    """Which of the 512 entries of a table of this level translates `address` (SDM §4.5)."""
    return address >> (3 + 9 * level) & (ENTRIES_PER_TABLE - 1)


def root_table(root: int, mode: PagingMode) -> PhysicalAddress:
    """The top table of a CR3 value: bits M-1:12; the bits below are flags or a PCID (SDM §4.5)."""
    return PhysicalAddress(root & bits(mode.physical_bits - 1, 12))


def is_leaf(entry: int, level: Level) -> bool:
    """Whether a present entry without reserved bits maps a page (SDM §4.5)."""
    return level == Level.PTE or (level <= Level.PDPTE and entry & PAGE_SIZE != 0)


def reserved_bits(entry: int, level: Level, mode: PagingMode) -> int:
    """Those bits of a present entry that must be 0 but are not (SDM §4.5, tables 4-14 to 4-20)."""
    reserved = (1 << 52) - (1 << mode.physical_bits)  # bits 51:M
    if not mode.nx_enabled:
        reserved |= NO_EXECUTE  # SDM §4.5: XD is reserved when EFER.NXE is 0
    if level >= Level.PML4E or (level == Level.PDPTE and not mode.huge_pages):
        reserved |= PAGE_SIZE  # tables 4-14, 4-15: no page is that large
    elif level >= Level.PDE and entry & PAGE_SIZE:
        reserved |= bits(12 + 9 * (level - 1) - 1, 13)  # tables 4-16, 4-18: bit 12 is PAT
    return entry & reserved


def page_address(entry: int, level: Level) -> PhysicalAddress:
    """The first address of the page that a leaf maps; bit 12 of a large page is PAT (SDM §4.5)."""
    return PhysicalAddress(entry & ADDRESS_BITS & ~(level.span_bytes - 1))
