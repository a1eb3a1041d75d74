"""`make debug`: an interactive GDB on a kernel booted for this session alone."""

import argparse
from collections.abc import Sequence
from contextlib import AbstractContextManager

from lab.gdbmi import gdb_environment
from lab.machine import Machine
from lab.paths import BOOT_ELF, GDB_SCRIPT, KERNEL_ELF
from lab.programs import modules
from lab.recorded import replayed
from lab.scenarios import scenarios
from lab.terminal import run_in_foreground


def main(arguments: Sequence[str] = ()) -> int:
    """Boot the kernel paused, let GDB take it to the first checkpoint, and hand GDB to the user."""
    options = _parser().parse_args(arguments)
    append = f"scenario={options.scenario} seed={options.seed} ops={options.ops}"
    known = scenarios()
    wanted = [known[name] for name in options.scenario.split(",") if name in known]
    extra = modules([line for scenario in wanted for line in scenario.modules])
    cpus = max((scenario.cpus for scenario in wanted), default=1)
    booted: AbstractContextManager[Machine] = (
        replayed(append, memory=options.memory, cpus=cpus, extra=extra)
        if options.recorded
        else Machine(BOOT_ELF, append, memory=options.memory, cpus=cpus, paused=True, extra=extra)
    )
    with booted as machine:
        commands = [
            # The machine is thrown away with the session: there is nothing to confirm.
            "set confirm off",
            f"target remote {machine.gdb_socket}",
            # Hardware, because before paging is on there is no memory at the kernel's address to patch.
            "hbreak coronel_checkpoint",
            "continue",
            "echo Type coronel for the commands, continue for the next checkpoint.\\n",
        ]
        # The commands come by -x; GDB's warning about the script it may not load would only confuse.
        gdb = [
            "gdb",
            "-q",
            "-iex",
            "set auto-load python-scripts off",
            str(KERNEL_ELF),
            "-x",
            str(GDB_SCRIPT),
        ]
        for command in commands:
            gdb += ["-ex", command]
        return run_in_foreground(gdb, gdb_environment())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="make debug", description=main.__doc__)
    parser.add_argument("--scenario", default="mixed,overflow", help="what the kernel does, in order")
    parser.add_argument("--seed", type=int, default=42, help="of the kernel's random numbers")
    parser.add_argument("--ops", type=int, default=2000, help="operations of a random scenario")
    parser.add_argument("--memory", default="128M", help="the machine's RAM, as QEMU takes it")
    parser.add_argument(
        "--recorded", action="store_true", help="record the run first: what GDB then has can go backwards"
    )
    return parser
