"""One stop of a real kernel, kept as a dump: damaged again and again without booting again."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from coronel_gdb.backends.dump_host import DumpTarget
from coronel_gdb.commands.command import Context
from coronel_gdb.lift.relayed import RelayedTarget
from coronel_gdb.profiles.schema import ResolvedProfile
from coronel_gdb.protocols import PhysicalMemory
from lab.paths import KERNEL_ELF
from lab.programs import modules
from lab.stopped import at_checkpoint
from model.types import PhysicalAddress


@dataclass(frozen=True)
class Stop:
    """Where a kernel is kept: its command line, memory and modules, and the number of the checkpoint."""

    append: str
    memory: str
    modules: tuple[str, ...] = ()
    checkpoint: int = 1

    def __str__(self) -> str:
        """In a few words."""
        programs = f", {', '.join(self.modules)}" if self.modules else ""
        return f"{self.append.removeprefix('scenario=')}, {self.memory}{programs}"


class Patched:
    """`PhysicalMemory` with some bytes changed; what lies beneath stays as it is."""

    def __init__(self, below: PhysicalMemory, patches: Mapping[int, bytes]) -> None:
        self._below = below
        self._patches = sorted(patches.items())

    def read(self, address: PhysicalAddress, size_bytes: int) -> bytes:
        """Exactly `size_bytes` bytes, with the changes in them."""
        data = bytearray(self._below.read(address, size_bytes))
        for at, patch in self._patches:
            first, end = max(at, address), min(at + len(patch), address + size_bytes)
            if first < end:
                data[first - address : end - address] = patch[first - at : end - at]
        return bytes(data)

    def describe(self) -> str:
        """The route below."""
        return self._below.describe()


class DamagedTarget(RelayedTarget):
    """A `Target`: the snapshot with patched memory."""

    def __init__(self, target: DumpTarget, patches: Mapping[int, bytes]) -> None:
        super().__init__(target, Patched(target.memory, patches), target.physical_bits())

    def reread(self) -> bool:
        """Nothing changes here."""
        return False

    def remarks(self) -> Sequence[tuple[str, str]]:
        """None."""
        return ()


class Snapshot:
    """A stopped kernel: `name` for the report, the healthy target and its context."""

    def __init__(self, name: str, target: DumpTarget) -> None:
        self.name = name
        self._target = target
        self._profiles: dict[object, ResolvedProfile] = {}
        self.healthy = Context(target, profiles=self._profiles)

    def damaged(self, patches: Mapping[int, bytes]) -> Context:
        """The same stop with other bytes at some physical addresses."""
        return Context(DamagedTarget(self._target, patches), profiles=self._profiles)

    def bytes_at(self, physical: int, size_bytes: int) -> bytes:
        """What the snapshot holds there."""
        return self._target.memory.read(PhysicalAddress(physical), size_bytes)


@contextmanager
def taken(stop: Stop) -> Iterator[Snapshot]:
    """Boot as it says, stop at the checkpoint and keep the machine's memory; QEMU is gone then."""
    with TemporaryDirectory(prefix="coronel-corpus-") as directory:
        path = Path(directory) / "stop.core"
        with at_checkpoint(
            stop.checkpoint, stop.append, memory=stop.memory, extra=modules(stop.modules)
        ) as stopped:
            stopped.machine.monitor(f"dump-guest-memory {path}")
        yield Snapshot(str(stop), DumpTarget(path, KERNEL_ELF))
