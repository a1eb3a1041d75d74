"""The kernel stopped at a checkpoint with a GDB attached: what tests and front ends look at."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab.gdbmi import Gdb
from lab.machine import Machine
from lab.paths import BOOT_ELF, GDB_SCRIPT, KERNEL_ELF
from lab.scenarios import Scenario

BOOT_SECONDS = 60.0
_ENDS = {"exception": "coronel_fault_stop", "exit": "coronel::results::print"}
MIXED_THEN_OVERFLOW = "scenario=mixed,overflow seed=42 ops=2000"
"""Sound at checkpoint 1, corrupted by its own bug at checkpoint 2; demo, README and tests show it."""


@dataclass(frozen=True)
class Stopped:
    """A machine whose kernel stands at a checkpoint, and the GDB that looks at it."""

    machine: Machine
    gdb: Gdb

    def report(self, command: str, exit_code: int) -> dict[str, Any]:
        """Return a command's JSON report, having checked that its exit code is the expected one."""
        report: dict[str, Any] = json.loads(self.gdb.console(f"{command} --json"))
        assert report["exit_code"] == self.gdb.evaluate("$coronel_exit") == exit_code, report
        return report


@contextmanager
def in_scenario(scenario: Scenario, **options: Any) -> Iterator[Stopped]:
    """The kernel where a scenario of the list leaves it; one that ends QEMU stops as it tells its results."""
    wanted = {"memory": scenario.memory, "cpus": scenario.cpus, "extra": scenario.extra, **options}
    with (
        Machine(BOOT_ELF, scenario.append, paused=True, **wanted) as machine,
        Gdb(script=GDB_SCRIPT) as gdb,
    ):
        gdb.attach(machine.gdb_socket, KERNEL_ELF)
        if scenario.ends == "checkpoint":
            gdb.run_to("coronel_checkpoint", scenario.timeout)
            # Processes that pause pass checkpoints of their own (docs/spec.md §14.7).
            while scenario.name not in gdb.console("output name"):
                gdb.run_to("coronel_checkpoint", scenario.timeout)
        else:
            gdb.run_to(_ENDS[scenario.ends], scenario.timeout)
        yield Stopped(machine, gdb)


@contextmanager
def at_checkpoint(
    number: int, append: str, *, elf: Path = KERNEL_ELF, boot_elf: Path = BOOT_ELF, **options: Any
) -> Iterator[Stopped]:
    """Boot a kernel with that command line and run it to its checkpoint of that number, from 1."""
    with Machine(boot_elf, append, paused=True, **options) as machine, Gdb(script=GDB_SCRIPT) as gdb:
        gdb.attach(machine.gdb_socket, elf)
        for _ in range(number):
            gdb.run_to("coronel_checkpoint", BOOT_SECONDS)
        yield Stopped(machine, gdb)
