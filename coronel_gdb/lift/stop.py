"""A stop of a target, kept: the bytes of its structures, and a `Target` that has those alone."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from coronel_gdb.errors import ReadFault, TargetError, UsageError
from coronel_gdb.protocols import PhysicalMemory, Target
from model.types import PhysicalAddress, VirtualAddress

REGISTERS = ("cr0", "cr3", "cr4", "efer")


@dataclass(slots=True)
class Stop:
    """What is kept of a stop.

    `kernel` tells one build from another. `runs` are bytes at ascending physical addresses. In the `blank`
    physical ranges [start, end) what no run has was there but is not kept (the data of heap blocks): it
    reads as zero, and nobody asks for it but to read past it.
    """

    kernel: str
    physical_bits: int
    registers: dict[str, int] = field(default_factory=dict)
    symbols: dict[str, int | None] = field(default_factory=dict)
    runs: list[tuple[int, bytes]] = field(default_factory=list)
    blank: list[tuple[int, int]] = field(default_factory=list)

    @property
    def size_bytes(self) -> int:
        """How many bytes of memory are kept."""
        return sum(len(data) for _, data in self.runs)


class StopMemory:
    """`PhysicalMemory` of a kept stop: what is not kept cannot be read."""

    def __init__(self, stop: Stop) -> None:
        self._runs = stop.runs
        self._starts = [start for start, _ in stop.runs]
        self._blank = stop.blank
        self._blank_starts = [start for start, _ in stop.blank]

    def read(self, address: PhysicalAddress, size_bytes: int) -> bytes:
        """Exactly `size_bytes` bytes; `ReadFault` when any of them is not kept."""
        data = bytearray()
        at, end = int(address), address + size_bytes
        while at < end:
            index = bisect_right(self._starts, at) - 1
            start, held = self._runs[index] if index >= 0 else (0, b"")
            if at < start + len(held):
                data += held[at - start : end - start]
            else:
                following = self._starts[index + 1] if index + 1 < len(self._starts) else end
                number = bisect_right(self._blank_starts, at) - 1
                stop = min(self._blank[number][1] if number >= 0 else 0, following, end)
                if stop <= at:
                    raise ReadFault("physical", at, end - at, "not in the snapshot")
                data += bytes(stop - at)
            at = address + len(data)
        return bytes(data)

    def describe(self) -> str:
        """The route."""
        return "physical, of a snapshot"


class StopTarget:
    """A kept stop as a `Target`; the kernel's file is the one that is loaded now."""

    def __init__(self, stop: Stop, kernel: Path | None) -> None:
        self._stop = stop
        self._memory = StopMemory(stop)
        self._kernel = kernel

    @property
    def memory(self) -> StopMemory:
        """The bytes that were kept."""
        return self._memory

    def register(self, name: str) -> int:
        """A register that was kept."""
        if name not in self._stop.registers:
            raise TargetError(f"the snapshot has no register {name}")
        return self._stop.registers[name]

    def symbol(self, name: str) -> VirtualAddress | None:
        """A symbol that was asked for when the snapshot was taken."""
        address = self._stop.symbols.get(name)
        return None if address is None else VirtualAddress(address)

    def evaluate(self, expression: str) -> int:
        """Nothing evaluates here."""
        raise UsageError(f"cannot evaluate {expression}: a snapshot has no expressions")

    def kernel(self) -> Path | None:
        """The kernel's file."""
        return self._kernel

    def facts(self) -> Sequence[tuple[str, str]]:
        """What it is."""
        return [("target", "snapshot")]


class Recorder:
    """A target and its memory at once: passes everything on, and keeps what was read and asked."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._source: PhysicalMemory = target.memory
        self._read: dict[int, bytes] = {}
        self.registers: dict[str, int] = {}
        self.symbols: dict[str, int | None] = {}

    @property
    def memory(self) -> "Recorder":
        """This one."""
        return self

    def read(self, address: PhysicalAddress, size_bytes: int) -> bytes:
        """As the target's memory has it."""
        data = self._source.read(address, size_bytes)
        self.keep(address, data)
        return data

    def keep(self, address: int, data: bytes) -> None:
        """Bytes that were read elsewhere."""
        if len(data) > len(self._read.get(address, b"")):
            self._read[address] = data

    def describe(self) -> str:
        """The target's route."""
        return self._source.describe()

    def register(self, name: str) -> int:
        """As the target has it."""
        self.registers[name] = self._target.register(name)
        return self.registers[name]

    def symbol(self, name: str) -> VirtualAddress | None:
        """As the target has it."""
        found = self._target.symbol(name)
        self.symbols[name] = None if found is None else int(found)
        return found

    def evaluate(self, expression: str) -> int:
        """As the target does."""
        return self._target.evaluate(expression)

    def kernel(self) -> Path | None:
        """The target's."""
        return self._target.kernel()

    def facts(self) -> Sequence[tuple[str, str]]:
        """The target's."""
        return self._target.facts()

    def runs(self) -> list[tuple[int, bytes]]:
        """What was read, ascending, neighbours and overlaps joined."""
        joined: list[tuple[int, list[bytes]]] = []
        end = -1
        for start, data in sorted(self._read.items()):
            if start > end:
                joined.append((start, []))
                end = start
            fresh = data[end - start :]
            joined[-1][1].append(fresh)
            end += len(fresh)
        return [(start, b"".join(parts)) for start, parts in joined]
