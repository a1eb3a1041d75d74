"""Stops that several hosts look at in turn: nobody is connected, and the guest stands still."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from lab.gdbmi import Gdb
from lab.machine import Machine
from lab.paths import BOOT_ELF, KERNEL_ELF
from lab.scenarios import Scenario, scenarios
from lab.stopped import BOOT_SECONDS, MIXED_THEN_OVERFLOW
from model import scenarios as operations
from model.address_space import PLAIN_IMAGE, ImageSymbols, linear_physical
from model.machine import Machine as Simulated
from model.multiboot import parse
from model.types import PhysicalAddress


@dataclass(frozen=True)
class Stop:
    """Where to stop: the arrival of that number at a checkpoint, of a command line and its modules."""

    name: str
    scenario: Scenario
    arrival: int = 1
    mixed: tuple[int, int] | None = None
    """Seed and operations of what the model does to get to the same state; None where it cannot."""
    dumped: bool = False
    """Whether hosts that need a dump look at it too."""
    thorough: bool = False
    """Whether expressions, refusals and the reports as text are tried here too."""


def _own(name: str, append: str, arrival: int = 1, mixed: tuple[int, int] | None = None) -> Stop:
    scenario = Scenario(append.split(maxsplit=1)[0].removeprefix("scenario="), append)
    return Stop(name, scenario, arrival, mixed, dumped=name == "overflow", thorough=name == "overflow")


def _listed(name: str) -> Stop:
    # A dump does not say MAXPHYADDR, so reserved bits of a scribbled entry are address bits in it.
    return Stop(name, scenarios()[name], dumped=name != "pte_scribble")


STOPS = (
    _own("boot", "scenario=boot", mixed=(0, 0)),
    _own("mixed", MIXED_THEN_OVERFLOW, mixed=(42, 2000)),
    _own("overflow", MIXED_THEN_OVERFLOW, arrival=2),
    _listed("processes"),
    _listed("cyclic_list"),
    _listed("pte_scribble"),
)


@dataclass(frozen=True)
class Standing:
    """A machine at a stop, and the model's machine in the same state where there is one."""

    machine: Machine
    simulated: Simulated | None

    def state(self) -> tuple[str, str]:
        """RAM and registers, as QEMU itself tells them."""
        dump = self.machine.directory / "ram"
        self.machine.monitor(f'pmemsave 0 {128 << 20} "{dump}"')
        return hashlib.sha256(dump.read_bytes()).hexdigest(), self.machine.monitor("info registers")


@contextmanager
def standing(stop: Stop) -> Iterator[Standing]:
    """The machine at the stop; the GDB that took it there has gone and left it paused."""
    append = stop.scenario.command_line if stop.scenario.command_line.startswith("scenario=") else ""
    with Machine(
        BOOT_ELF,
        append or stop.scenario.append,
        cpus=stop.scenario.cpus,
        paused=True,
        extra=stop.scenario.extra,
    ) as machine:
        simulated = None
        with Gdb() as gdb:
            gdb.attach(machine.gdb_socket, KERNEL_ELF)
            if stop.mixed is not None:
                simulated = _simulated(machine, gdb, *stop.mixed)
            for _ in range(stop.arrival):
                gdb.run_to("coronel_checkpoint", BOOT_SECONDS)
            gdb.run("disconnect")
        yield Standing(machine, simulated)


def _simulated(machine: Machine, gdb: Gdb, seed: int, count: int) -> Simulated:
    """The model after the same boot information and operations (tests/differential compares bytes)."""

    def physical(address: int, size_bytes: int) -> bytes:
        dump = machine.directory / "bytes"
        machine.monitor(f'pmemsave {address:#x} {size_bytes} "{dump}"')
        return dump.read_bytes()

    gdb.run_to("memory::initialize_memory", BOOT_SECONDS)
    information = parse(physical, PhysicalAddress(linear_physical(gdb.evaluate("info"))))
    image = ImageSymbols.from_names(
        {name: gdb.evaluate(f"(unsigned long)&'{name}'") for name in PLAIN_IMAGE.by_name()}
    )
    simulated = Simulated.boot(information.memory_map, information.reserved, image, trace_records=4096)
    operations.mixed(simulated, seed, count)
    return simulated
