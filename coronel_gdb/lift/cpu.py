"""Which kind of translation the stopped CPU uses (SDM vol. 3A §4.1.1)."""

from dataclasses import dataclass

from coronel_gdb.errors import TargetError
from coronel_gdb.protocols import Target
from model.paging import PagingMode
from model.types import PhysicalAddress

_CR0_PE, _CR0_PG = 1 << 0, 1 << 31
_CR4_PAE, _CR4_LA57 = 1 << 5, 1 << 12
_EFER_LMA, _EFER_NXE = 1 << 10, 1 << 11
_ROOT_MASK = 0x000F_FFFF_FFFF_F000


@dataclass(frozen=True, slots=True)
class Cpu:
    """The registers that decide how an address is translated."""

    cr0: int
    cr3: int
    cr4: int
    efer: int

    @property
    def mode(self) -> str:
        """The paging mode by its name in the SDM."""
        if not self.cr0 & _CR0_PG:
            return "paging off, protected mode" if self.cr0 & _CR0_PE else "paging off, real mode"
        if self.efer & _EFER_LMA:
            return "5-level" if self.cr4 & _CR4_LA57 else "4-level"
        return "PAE (32-bit)" if self.cr4 & _CR4_PAE else "32-bit"

    @property
    def root(self) -> PhysicalAddress:
        """Physical address of the top table: CR3 without its low bits."""
        return PhysicalAddress(self.cr3 & _ROOT_MASK)

    def paging(self) -> PagingMode:
        """The parameters of the walk; `TargetError` unless the CPU is in long mode with paging on."""
        if not (self.cr0 & _CR0_PG and self.efer & _EFER_LMA):
            raise TargetError(
                f"no 64-bit paging yet ({self.mode}, cr0 {self.cr0:#x}): "
                "let the kernel boot first, for example `break coronel_checkpoint` and `continue`"
            )
        return PagingMode(
            levels=5 if self.cr4 & _CR4_LA57 else 4,
            nx_enabled=bool(self.efer & _EFER_NXE),
        )


def read_cpu(target: Target) -> Cpu:
    """The state of the current CPU; `TargetError` when a register cannot be had."""
    return Cpu(*(target.register(name) for name in ("cr0", "cr3", "cr4", "efer")))
