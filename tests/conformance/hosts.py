"""The hosts that every command must work on in the same way, as data: one function each, and a row in LIVE.

A host takes a stopped machine nobody is connected to, answers lines as typed, and leaves it as it was.
A reader of dumps fits in as well: it dumps the machine it is given and opens the dump.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from coronel_gdb.backends.dump_host import DumpTarget
from coronel_gdb.backends.surface import run_line
from coronel_gdb.commands.command import Context
from coronel_gdb.plugins import commands
from coronel_gdb.protocols import Target
from lab.errors import DebuggerRefused, GdbCommandError
from lab.gdbmi import Gdb
from lab.lldb import Lldb
from lab.machine import Machine
from lab.paths import GDB_SCRIPT, KERNEL_ELF


@dataclass(frozen=True)
class Answer:
    """What a command left: its text, whether that was a refusal, and the exit code."""

    text: str
    exit_code: object
    refused: bool = False

    @property
    def report(self) -> dict[str, Any]:
        """The text of a command with --json."""
        report: dict[str, Any] = json.loads(self.text)
        assert report["exit_code"] == self.exit_code
        return report


class Host(Protocol):
    """Something with a prompt."""

    def ask(self, line: str) -> Answer:
        """What a command of ours leaves."""


Opened = AbstractContextManager[Host]


@dataclass(frozen=True)
class InGdb:
    """GDB's prompt."""

    gdb: Gdb

    def ask(self, line: str) -> Answer:
        """The output, or the error that GDB shows."""
        try:
            text, refused = self.gdb.console(line), False
        except GdbCommandError as error:
            text, refused = error.message, True
        return Answer(text.strip(), self.gdb.evaluate("$coronel_exit"), refused)


@dataclass(frozen=True)
class InLldb:
    """LLDB's prompt."""

    lldb: Lldb

    def ask(self, line: str) -> Answer:
        """The output, or the error that LLDB shows."""
        try:
            text, refused = self.lldb.console(line), False
        except DebuggerRefused as error:
            text, refused = error.message, True
        return Answer(text.strip(), self.lldb.session("coronel_exit"), refused)


@dataclass(frozen=True)
class OnTarget:
    """A target without a debugger: a dump, or the model's own machine."""

    target: Callable[[], Target]

    def ask(self, line: str) -> Answer:
        """What a surface would show."""
        name, _, rest = line.removeprefix("coronel ").partition(" ")
        (command,) = (command for command in commands() if command.name == name)
        outcome = run_line(command, rest, lambda: Context(self.target()))
        return Answer(outcome.text, int(outcome.exit_code), outcome.failed)


@contextmanager
def gdb(machine: Machine) -> Iterator[InGdb]:
    """GDB through the stub."""
    with Gdb(script=GDB_SCRIPT) as debugger:
        debugger.attach(machine.gdb_socket, KERNEL_ELF)
        yield InGdb(debugger)


@contextmanager
def lldb(machine: Machine) -> Iterator[InLldb]:
    """LLDB through the stub."""
    with Lldb() as debugger:
        debugger.attach(machine.gdb_socket, KERNEL_ELF)
        yield InLldb(debugger)


def dumped(machine: Machine, form: str = "") -> Path:
    """A dump of the machine as it stands, made once."""
    path = machine.directory / f"dump{form}"
    if not path.exists():
        answer = machine.monitor(f"dump-guest-memory {form} {path}")
        assert path.exists(), answer
    return path


@contextmanager
def gdb_core(machine: Machine) -> Iterator[InGdb]:
    """GDB on an ELF core that QEMU made."""
    with Gdb(script=GDB_SCRIPT) as debugger:
        debugger.mi(f"-file-exec-and-symbols {KERNEL_ELF}")
        debugger.console(f"target core {dumped(machine)}")
        yield InGdb(debugger)


@contextmanager
def lldb_core(machine: Machine) -> Iterator[InLldb]:
    """LLDB on an ELF core that QEMU made."""
    with Lldb() as debugger:
        debugger.console(f"target create --arch x86_64-pc-linux {KERNEL_ELF} --core {dumped(machine)}")
        yield InLldb(debugger)


@contextmanager
def dump(machine: Machine) -> Iterator[OnTarget]:
    """A kdump-compressed dump, without a debugger."""
    path = dumped(machine, "-z")
    yield OnTarget(lambda: DumpTarget(path, KERNEL_ELF))


LIVE: dict[str, Callable[[Machine], Opened]] = {"gdb": gdb, "lldb": lldb}
"""Name → how to open the host on a stopped machine. The first is what the others are compared with."""

DUMPS: dict[str, Callable[[Machine], Opened]] = {"gdb core": gdb_core, "lldb core": lldb_core, "dump": dump}
"""The same for hosts that look at a dump of it: no debugger's expressions there."""

PROVENANCE = {"debugger", "target", "memory", "python", "dump", "format", "cpus", "efer"}
"""Facts of `coronel status` that say where an answer comes from, so they differ by intent."""
