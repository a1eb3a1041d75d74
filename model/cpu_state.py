"""The registers that take part in paging: which kind of paging they select, and what they allow.

Section numbers are those of SDM volume 3A with paging as chapter 4.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Final

from model.page_entry import PagingMode

# SDM §2.5: control registers; §2.2.1: IA32_EFER; vol. 1 §3.4.3: RFLAGS.
CR0_PE: Final = 1 << 0
CR0_WP: Final = 1 << 16
CR0_PG: Final = 1 << 31
CR3_PWT: Final = 1 << 3
CR3_PCD: Final = 1 << 4
CR3_PCID: Final = 0xFFF
CR4_PAE: Final = 1 << 5
CR4_PGE: Final = 1 << 7
CR4_LA57: Final = 1 << 12
CR4_PCIDE: Final = 1 << 17
CR4_SMEP: Final = 1 << 20
CR4_SMAP: Final = 1 << 21
CR4_PKE: Final = 1 << 22
CR4_PKS: Final = 1 << 24
EFER_LMA: Final = 1 << 10
EFER_NXE: Final = 1 << 11
RFLAGS_AC: Final = 1 << 18


class PagingKind(Enum):
    """The kinds of paging (SDM §4.1.1); the value is its name for people."""

    OFF_REAL = "paging off, real mode"
    OFF_PROTECTED = "paging off, protected mode"
    BITS_32 = "32-bit"
    PAE = "PAE (32-bit)"
    FOUR_LEVEL = "4-level"
    FIVE_LEVEL = "5-level"

    @property
    def walked(self) -> bool:
        """Whether the model walks this kind: the two of 64-bit mode."""
        return self in (PagingKind.FOUR_LEVEL, PagingKind.FIVE_LEVEL)


def paging_kind(cr0: int, cr4: int, efer: int) -> PagingKind:
    """The kind of paging that these registers select (SDM §4.1.1, rule R1). CR4.PSE is not asked."""
    if not cr0 & CR0_PG:
        return PagingKind.OFF_PROTECTED if cr0 & CR0_PE else PagingKind.OFF_REAL
    if not cr4 & CR4_PAE:
        return PagingKind.BITS_32
    if not efer & EFER_LMA:
        return PagingKind.PAE
    return PagingKind.FIVE_LEVEL if cr4 & CR4_LA57 else PagingKind.FOUR_LEVEL


@dataclass(frozen=True, slots=True)
class CpuState:
    """What of a CPU in 64-bit mode decides about an access (SDM §4.1.3, rule R1).

    `mode` says how tables are walked (CR4.LA57, EFER.NXE, MAXPHYADDR, 1-GByte pages). The others are
    the bits of their names: CR0.WP, CR4.SMEP … CR4.PCIDE, RFLAGS.AC; `pkru` and `pkrs` the whole
    registers PKRU and IA32_PKRS. `ValueError` for a key register of more than 32 bits.
    """

    mode: PagingMode
    wp: bool = False
    smep: bool = False
    smap: bool = False
    pke: bool = False
    pks: bool = False
    pge: bool = False
    pcide: bool = False
    ac: bool = False
    pkru: int = 0
    pkrs: int = 0

    def __post_init__(self) -> None:
        for name, value in (("PKRU", self.pkru), ("IA32_PKRS", self.pkrs)):
            if not 0 <= value < 1 << 32:
                raise ValueError(f"{name} has 32 bits, {value:#x} does not fit")


@dataclass(frozen=True, slots=True)
class Registers:
    """The raw registers of a CPU. MAXPHYADDR and 1-GByte pages come from CPUID, see `cpu_state`."""

    cr0: int
    cr4: int
    efer: int
    rflags: int = 0
    pkru: int = 0
    pkrs: int = 0


def cpu_state(registers: Registers, *, physical_bits: int = 52, huge_pages: bool = True) -> CpuState:
    """The state that raw registers mean; `ValueError` where the model does not walk (see `paging_kind`).

    `physical_bits` is CPUID.80000008H:EAX[7:0], `huge_pages` is CPUID.80000001H:EDX[26]. RFLAGS.AC counts
    for SMAP whatever CR0.AM says (SDM §4.6.1).
    """
    kind = paging_kind(registers.cr0, registers.cr4, registers.efer)
    if not kind.walked:
        raise ValueError(f"no 64-bit paging: {kind.value}")
    mode = PagingMode(
        levels=5 if kind is PagingKind.FIVE_LEVEL else 4,
        physical_bits=physical_bits,
        nx_enabled=registers.efer & EFER_NXE != 0,
        huge_pages=huge_pages,
    )
    cr4 = registers.cr4
    return CpuState(
        mode,
        wp=registers.cr0 & CR0_WP != 0,
        smep=cr4 & CR4_SMEP != 0,
        smap=cr4 & CR4_SMAP != 0,
        pke=cr4 & CR4_PKE != 0,
        pks=cr4 & CR4_PKS != 0,
        pge=cr4 & CR4_PGE != 0,
        pcide=cr4 & CR4_PCIDE != 0,
        ac=registers.rflags & RFLAGS_AC != 0,
        pkru=registers.pkru & 0xFFFF_FFFF,
        pkrs=registers.pkrs & 0xFFFF_FFFF,
    )


def pcid(cr3: int, state: CpuState) -> int:
    """The process-context identifier: CR3[11:0] with CR4.PCIDE, else 0 (SDM §4.10.1, rule R5)."""
    return cr3 & CR3_PCID if state.pcide else 0
