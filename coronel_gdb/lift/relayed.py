"""A target seen with another memory than its own; everything else is asked of the target itself."""

from collections.abc import Sequence
from pathlib import Path

from coronel_gdb.protocols import PhysicalMemory, Target
from model.types import VirtualAddress


class RelayedTarget:
    """A `Target` with the memory that is given; everything else is that of the target behind it."""

    def __init__(self, target: Target, memory: PhysicalMemory, physical_bits: int | None) -> None:
        self.memory = memory
        self._target = target
        self._bits = physical_bits

    def register(self, name: str) -> int:
        """As the target behind it."""
        return self._target.register(name)

    def symbol(self, name: str) -> VirtualAddress | None:
        """As the target behind it."""
        return self._target.symbol(name)

    def evaluate(self, expression: str) -> int:
        """As the target behind it."""
        return self._target.evaluate(expression)

    def kernel(self) -> Path | None:
        """As the target behind it."""
        return self._target.kernel()

    def facts(self) -> Sequence[tuple[str, str]]:
        """As the target behind it."""
        return self._target.facts()

    def physical_bits(self) -> int | None:
        """MAXPHYADDR, asked of the target before."""
        return self._bits
