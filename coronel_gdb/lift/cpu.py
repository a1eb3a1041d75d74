"""Which kind of translation the stopped CPU uses (SDM vol. 3A §4.1.1)."""

from dataclasses import dataclass

from coronel_gdb.errors import TargetError
from coronel_gdb.protocols import HasMonitor, HasPhysicalBits, Target
from model.cpu_state import CpuState, PagingKind, Registers, cpu_state, paging_kind
from model.paging import PagingMode
from model.types import PhysicalAddress

_ROOT_MASK = 0x000F_FFFF_FFFF_F000


@dataclass(frozen=True, slots=True)
class Cpu:
    """The registers that decide how an address is translated."""

    cr0: int
    cr3: int
    cr4: int
    efer: int
    physical_bits: int = 52
    """MAXPHYADDR where the host can tell, else the most there is: then bits 51:M count as address."""

    @property
    def kind(self) -> PagingKind:
        """The kind of paging."""
        return paging_kind(self.cr0, self.cr4, self.efer)

    @property
    def mode(self) -> str:
        """The paging mode by its name in the SDM."""
        return self.kind.value

    @property
    def root(self) -> PhysicalAddress:
        """Physical address of the top table: CR3 without its low bits."""
        return PhysicalAddress(self.cr3 & _ROOT_MASK)

    def paging(self) -> PagingMode:
        """The parameters of the walk; `TargetError` unless the CPU is in long mode with paging on."""
        return self.state().mode

    def state(
        self,
        *,
        rflags: int = 0,
        pkru: int = 0,
        pkrs: int = 0,
        huge_pages: bool = True,
    ) -> CpuState:
        """What decides about an access, for `model.access`; `TargetError` as in `paging`.

        The other registers and 1-GByte pages are the caller's to find out: without them RFLAGS.AC and
        all keys are 0.
        """
        if not self.kind.walked:
            raise TargetError(
                f"no 64-bit paging yet ({self.mode}, cr0 {self.cr0:#x}): "
                "let the kernel boot first, for example `break coronel_checkpoint` and `continue`"
            )
        registers = Registers(self.cr0, self.cr4, self.efer, rflags, pkru, pkrs)
        return cpu_state(registers, physical_bits=self.physical_bits, huge_pages=huge_pages)


def read_cpu(target: Target) -> Cpu:
    """The state of the current CPU; `TargetError` when a register cannot be had."""
    cr0, cr3, cr4, efer = (target.register(name) for name in ("cr0", "cr3", "cr4", "efer"))
    return Cpu(cr0, cr3, cr4, efer, _physical_bits(target))


def _physical_bits(target: Target) -> int:
    """MAXPHYADDR of the first CPU by QEMU's object model, 52 when nobody knows."""
    if isinstance(target, HasPhysicalBits):
        return target.physical_bits() or 52
    if not isinstance(target, HasMonitor):
        return 52
    try:
        answer = target.monitor("qom-get /machine/unattached/device[0] phys-bits").strip()
    except TargetError:
        return 52
    return int(answer) if answer.isdecimal() and 32 <= int(answer) <= 52 else 52
