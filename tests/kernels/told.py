"""What a kernel of qemu/kernels noted of its own bug in g_truth, as the judge of a report."""

from dataclasses import dataclass

from lab.gdbmi import Gdb


@dataclass(frozen=True)
class Truth:
    """The damaged page or chunk, the one whose owner did it, and the bytes that were written."""

    victim: int
    culprit: int
    address: int
    before: bytes
    after: bytes

    @property
    def end(self) -> int:
        """Behind the last byte that was written."""
        return self.address + len(self.after)

    @property
    def changed(self) -> tuple[int, int]:
        """Addresses [first, end) of the bytes that are others than before."""
        differ = [index for index, byte in enumerate(self.after) if byte != self.before[index]]
        return self.address + differ[0], self.address + differ[-1] + 1


def truth(gdb: Gdb) -> Truth:
    """Read by GDB itself, not by the tool that is tested."""
    victim, culprit, address, length = (
        gdb.evaluate(f"g_truth.{name}") for name in ("victim", "culprit", "address", "length")
    )
    before, after = (
        bytes(gdb.evaluate(f"g_truth.{name}[{index}]") for index in range(length))
        for name in ("before", "after")
    )
    return Truth(victim, culprit, address, before, after)
