"""A simulated machine as a host: `model.machine.Machine` behind the same protocols as a debugger.

For speed of tests and for trying a command with no QEMU at all. Without an ELF file the layouts are those
that the model declares.
"""

from collections.abc import Sequence
from pathlib import Path

from coronel_gdb.errors import ReadFault, TargetError, UsageError
from model.address_space import STACK_END
from model.errors import NoSuchMemory
from model.machine import Machine
from model.types import PhysicalAddress, VirtualAddress

_CR0 = 1 << 31 | 1 << 16 | 1  # PG, WP, PE
_CR4 = 1 << 5  # PAE
_EFER = 1 << 11 | 1 << 10 | 1 << 8  # NXE, LMA, LME


class MachineTarget:
    """A `Target` whose machine runs in this process and is always stopped."""

    def __init__(self, machine: Machine, kernel: Path | None = None) -> None:
        self._machine = machine
        self._kernel = kernel
        # Nobody runs on its stack: that is empty.
        self._registers = {
            "cr0": _CR0, "cr2": 0, "cr3": machine.cr3, "cr4": _CR4, "efer": _EFER, "rsp": STACK_END - 8,
        }  # fmt: skip

    @property
    def memory(self) -> "MachineMemory":
        """The machine's RAM."""
        return MachineMemory(self._machine)

    def register(self, name: str) -> int:
        """A control register as the boot left it, or the stack pointer."""
        if name not in self._registers:
            raise TargetError(f"a simulated machine has no register {name}")
        return self._registers[name]

    def symbol(self, name: str) -> VirtualAddress | None:
        """A symbol of the simulated image."""
        address = self._machine.symbols.get(name)
        return None if address is None else VirtualAddress(address)

    def evaluate(self, expression: str) -> int:
        """The value of the variable named so; there is no other kind of expression here."""
        address = self.symbol(expression)
        if address is None:
            raise UsageError(
                f"cannot evaluate {expression}: a simulated machine knows names of variables only"
            )
        return self._machine.memory.read_u64(address)

    def kernel(self) -> Path | None:
        """The file that it simulates, where one is named."""
        return self._kernel

    def facts(self) -> Sequence[tuple[str, str]]:
        """That it is simulated."""
        return [("target", "simulated machine")]


class MachineMemory:
    """`PhysicalMemory` of a simulated machine."""

    def __init__(self, machine: Machine) -> None:
        self._ram = machine.physical

    def read(self, address: PhysicalAddress, size_bytes: int) -> bytes:
        """Exactly `size_bytes` bytes; `ReadFault` outside RAM."""
        try:
            return self._ram.read(address, size_bytes)
        except NoSuchMemory as error:
            raise ReadFault("physical", address, size_bytes, "outside the machine's RAM") from error

    def describe(self) -> str:
        """The route."""
        return "physical, simulated"
