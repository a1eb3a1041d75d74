"""The memory type that paging gives a page or a table: PAT (SDM vol. 3A §4.9.2, §11.12; rule R23).

How PAT and the MTRRs combine is not modelled.
"""

from enum import Enum
from typing import Final

from model.cpu_state import CR3_PCD, CR3_PWT, CpuState
from model.page_entry import CACHE_DISABLE, LARGE_PAT, PAGE_SIZE, WRITE_THROUGH, Level

PAT_RESET: Final = 0x0007_0406_0007_0406
"""IA32_PAT after reset: WB WT UC- UC, twice (SDM §11.12.4)."""


class MemoryType(Enum):
    """The encodings of IA32_PAT (SDM table 11-10); 2 and 3 are reserved."""

    UC = 0
    WC = 1
    WT = 4
    WP = 5
    WB = 6
    UC_MINUS = 7

    @property
    def label(self) -> str:
        """The name as the SDM writes it: `UC-` with its sign."""
        return "UC-" if self is MemoryType.UC_MINUS else self.name


def _low_index(bits_pcd_pwt: int) -> int:
    """2·PCD + PWT of an entry or of CR3, where both are bits 4 and 3."""
    return (2 if bits_pcd_pwt & CACHE_DISABLE else 0) + (1 if bits_pcd_pwt & WRITE_THROUGH else 0)


def pat_index(leaf: int, level: Level) -> int:
    """Which of the eight types of IA32_PAT a page has: 4·PAT + 2·PCD + PWT (SDM §4.9.2)."""
    pat = leaf & (PAGE_SIZE if level == Level.PTE else LARGE_PAT)
    return (4 if pat else 0) + _low_index(leaf)


def table_pat_index(entry: int) -> int:
    """The same for a table, by the entry that refers to it: 2·PCD + PWT (SDM §4.9.2)."""
    return _low_index(entry)


def root_pat_index(cr3: int, state: CpuState) -> int:
    """The same for the top table, by CR3; 0 with CR4.PCIDE, as those bits are PCID then (SDM §4.9.2)."""
    return 0 if state.pcide else _low_index(cr3 & (CR3_PCD | CR3_PWT))


def memory_type(index: int, pat: int = PAT_RESET) -> MemoryType | None:
    """Type number `index` (0 to 7) of IA32_PAT; None for an encoding that the SDM reserves.

    Only the low 3 bits of a byte count. `ValueError` for an index that no entry can form.
    """
    if not 0 <= index <= 7:
        raise ValueError(f"IA32_PAT holds types 0 to 7, not {index}")
    encoding = pat >> (8 * index) & 7
    return MemoryType(encoding) if encoding not in (2, 3) else None
