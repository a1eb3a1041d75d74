"""Real kernels, each booted once, stopped and kept as a dump, and what can be changed in it."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

from coronel_gdb.backends.dump_host import DumpTarget
from coronel_gdb.lift.processes import lift_processes
from coronel_gdb.lift.space import AddressSpace
from lab.corpus.places import Place, physical, places
from lab.corpus.snapshot import Snapshot, Stop, taken
from lab.machine import Machine
from lab.paths import ROOT
from model.page_entry import Level
from model.types import PhysicalAddress, VirtualAddress

DONE = "coronel: done"
_SECONDS = 60.0
_SEED = 1  # of the places that are drawn where there are many


@dataclass(frozen=True)
class Kernel:
    """A kernel of `build/`, by its files' name, that runs until its serial line shows `until`."""

    append: str
    until: str = DONE
    elf: str = "kernel/coronel"
    memory: str = "128M"

    def __str__(self) -> str:
        """In a few words."""
        name = self.elf.rpartition("/")[2]
        return self.append if name == "coronel" else f"kernel {name.removeprefix('coronel-')}, {self.append}"


Change = int | Callable[[int], int]
"""The new value of a field, or what makes it of the old one."""
Writes = Mapping[int, bytes]
"""Physical address → bytes, as `Snapshot.damaged` takes them."""


class Kept:
    """A stopped kernel in which damages are made; each method that damages returns what is to be written."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot
        self.space = snapshot.healthy.space

    @cached_property
    def _places(self) -> list[Place]:
        return list(places(self.snapshot, Random(_SEED)))

    def place(self, noun: str, field: str, index: int = 0) -> Place:
        """The field of the structure of that kind and number."""
        return [each for each in self._places if (each.noun, each.field) == (noun, field)][index]

    def get(self, noun: str, field: str, index: int = 0) -> int:
        """What it holds."""
        place = self.place(noun, field, index)
        return self.word(place.physical, place.size_bytes)

    def put(self, noun: str, field: str, change: Change, index: int = 0) -> Writes:
        """Another value for it."""
        place = self.place(noun, field, index)
        return self.at(place.physical, change, place.size_bytes)

    def word(self, at: int, size_bytes: int = 8) -> int:
        """What lies at a physical address."""
        return int.from_bytes(self.snapshot.bytes_at(at, size_bytes), "little")

    def at(self, at: int, change: Change, size_bytes: int = 8) -> Writes:
        """Another word at a physical address."""
        new = change if isinstance(change, int) else change(self.word(at, size_bytes))
        return {at: new.to_bytes(size_bytes, "little")}

    def virtual(self, at: int, change: Change, size_bytes: int = 8) -> Writes:
        """Another word at an address of the kernel."""
        return self.at(physical(self.space, at), change, size_bytes)

    def read(self, at: int) -> int:
        """A word at an address of the kernel."""
        return self.word(physical(self.space, at))

    def symbol(self, name: str) -> int:
        """Where the kernel has it."""
        found = self.snapshot.healthy.target.symbol(name)
        assert found is not None, f"the kernel has no {name}"
        return found

    def root(self, process: int) -> int:
        """The top table of a process, by its place in the list."""
        context = self.snapshot.healthy
        listed = lift_processes(context.target, self.space, context.profile).processes
        return listed[process].memory.page_directory

    def entry(self, virtual: int, process: int | None = None, level: Level = Level.PTE) -> int:
        """Where the entry of that level lies for an address of the kernel, or of a process."""
        space = self.space if process is None else self._space_of(process)
        steps = space.translate(VirtualAddress(virtual)).steps
        return next(step.entry_address for step in steps if step.level == level)

    def freed(self, frame: int) -> Writes:
        """The frame put into the free list as physical::free does it."""
        node = self.get("frame manager", "nodes") + 16 * (frame // 4096)
        head = self.get("frame manager", "free_list")
        return {
            **self.virtual(node, frame),
            **self.virtual(node + 8, head),
            **self.put("frame manager", "free_list", node),
            **self.put("frame manager", "free_count", lambda count: count + 1),
        }

    def _space_of(self, process: int) -> AddressSpace:
        return self.snapshot.healthy.space_of(PhysicalAddress(self.root(process)))


@contextmanager
def kept(where: Kernel | Stop) -> Iterator[Kept]:
    """Boot it and keep its memory; QEMU is gone then."""
    if isinstance(where, Stop):
        with taken(where) as snapshot:
            yield Kept(snapshot)
        return
    elf = ROOT / "build" / f"{where.elf}.elf"
    with TemporaryDirectory(prefix="coronel-example-") as folder:
        path = Path(folder) / "stop.core"
        with Machine(elf.with_suffix(".boot.elf"), where.append, memory=where.memory) as machine:
            machine.wait_for_serial(where.until, _SECONDS)
            machine.monitor("stop")
            machine.monitor(f"dump-guest-memory {path}")
        yield Kept(Snapshot(str(where), DumpTarget(path, elf)))
