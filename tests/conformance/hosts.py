"""The hosts that every command must work on in the same way, as data: one function and one row each.

A host takes a stopped machine nobody is connected to, answers lines as typed, and leaves it as it was.
A reader of dumps fits in as well: it dumps the machine it is given and opens the dump.
"""

import gc
import json
import shlex
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any, Protocol

from coronel_gdb.backends.surface import run_line
from coronel_gdb.cli import main
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
class OnCommandLine:
    """`coronel` without a debugger; `options` name what it looks at."""

    options: tuple[str, ...]

    def ask(self, line: str) -> Answer:
        """What it prints, and the code that it leaves."""
        words = shlex.split(line.removeprefix("coronel "))
        with redirect_stdout(StringIO()) as shown, redirect_stderr(StringIO()) as errors:
            code = main([*words, *self.options])
        gc.collect()  # the end of a process closes QEMU's socket; here that is the end of its target
        return Answer((shown.getvalue() or errors.getvalue()).strip(), code, not shown.getvalue())


@dataclass(frozen=True)
class OnTarget:
    """The model's own machine."""

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
def dump(machine: Machine) -> Iterator[OnCommandLine]:
    """A kdump-compressed dump, without a debugger."""
    yield OnCommandLine(("--dump", str(dumped(machine, "-z")), "--kernel", str(KERNEL_ELF)))


@contextmanager
def qmp(machine: Machine) -> Iterator[OnCommandLine]:
    """The machine itself, by QEMU's own protocol."""
    yield OnCommandLine(("--qmp", str(machine.qmp_socket), "--kernel", str(KERNEL_ELF)))


DEBUGGERS: dict[str, Callable[[Machine], Opened]] = {"gdb": gdb, "lldb": lldb}
"""Name → how to open the host on a stopped machine. The first is what the others are compared with."""

DUMPS: dict[str, Callable[[Machine], Opened]] = {"gdb core": gdb_core, "lldb core": lldb_core, "dump": dump}
"""The same for hosts that look at a dump of it: no debugger's expressions there."""

LIVE = DEBUGGERS | {"qmp": qmp}

_RUNNING_QEMU = {
    "--compare": "there is no QEMU to compare with",
    "--find-physical": "it names RAM and devices as QEMU does",
    "pagewalk g_kernel_heap": "the same",
}
_COMMAND_LINE = {
    "heapcheck --kernel": "there it names the kernel's file",
    "--cr3": "there it takes a number, for dumps that have no CPU",
}
UNLIKE: dict[str, dict[str, str]] = {
    "qmp": _COMMAND_LINE,
    "gdb core": _RUNNING_QEMU,
    "lldb core": _RUNNING_QEMU,
    "dump": _RUNNING_QEMU | _COMMAND_LINE,
    "simulated": {
        **_RUNNING_QEMU,
        "--access": "no processor sets A and D in its entries",
        "--process": "it has none",
        "--every-process": "it has none",
        "status": "it is about the host",
        "whatis": "it has no file with functions, and no trace",
        "--ledger": "no boot loader has left anything in it",
        "replay": "what it does leaves no trace",
        "memcheck": "it has no memory map of a boot loader to judge the frame manager by",
    },
}
"""Host → part of a line → why that host cannot answer it as the others do; nothing for a debugger."""

PROVENANCE = {"debugger", "target", "memory", "python", "dump", "qmp", "format", "cpus", "efer", "addresses"}
"""Facts of `coronel status` that say where an answer comes from, so they differ by intent."""
