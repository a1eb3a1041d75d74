"""A place while it runs: the kernel, the debuggers that look at it, and a folder with its dumps."""

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cache, cached_property
from pathlib import Path
from tempfile import TemporaryDirectory

from lab.documents.places import Place, place
from lab.errors import DebuggerRefused, LabError
from lab.gdbmi import Gdb
from lab.lldb import Lldb
from lab.machine import Machine
from lab.paths import BOOT_ELF, GDB_SCRIPT, KERNEL_ELF, ROOT
from lab.recorded import replayed
from lab.stopped import BOOT_SECONDS, MIXED_THEN_OVERFLOW, at_checkpoint

SHELL_SECONDS = 90.0
CRASHES = {
    "tuesday": ("scenario=mixed,overflow seed=7 ops=500", 2),
    "wednesday": ("scenario=mixed,double_free seed=3 ops=100", 2),
}
"""The small dumps in `crashes/`, besides Monday's, which is bug.coronel: kernels and checkpoints."""


class Stage:
    """One booted place; everything is started when it is first asked for, and ended by `staged`."""

    def __init__(self, where: Place, folder: Path, dumps: "Dumps", stack: ExitStack) -> None:
        self._place = where
        self._dumps = dumps
        self._stack = stack
        self.folder = folder
        """The current folder of the shell and of both debuggers: `kernel.elf`, `gdbinit.py`, `build`, …"""
        for item in ("gdbinit.py", "coronel_gdb", "build", "qemu", "docs", "examples"):
            if (ROOT / item).exists():
                (folder / item).symlink_to(ROOT / item)
        for name in ("kernel.elf", "mine.elf"):
            (folder / name).symlink_to(KERNEL_ELF)

    @cached_property
    def machine(self) -> Machine:
        """The machine, not yet at its place: `gdb` takes it there, unless another debugger is to look."""
        append, options = self._place.append, self._place.options
        if self._place.recorded:
            machine = self._stack.enter_context(replayed(append, **options))
        else:
            machine = self._stack.enter_context(Machine(BOOT_ELF, append, paused=True, **options))
        for name, socket in (("gdb.sock", machine.gdb_socket), ("qmp.sock", machine.qmp_socket)):
            (self.folder / name).symlink_to(socket)
        if self._place.detached:
            with Gdb() as driver:
                driver.attach(machine.gdb_socket, KERNEL_ELF)
                _run_to(driver, self._place)
                driver.console("disconnect")
        return machine

    @cached_property
    def gdb(self) -> Gdb:
        """GDB with the commands loaded, and attached unless the session itself is to do that."""
        machine = self.machine
        gdb = self._stack.enter_context(Gdb(script=None if self._place.detached else GDB_SCRIPT))
        gdb.console(f"cd {self.folder}")
        if self._place.detached:
            return gdb
        gdb.attach(machine.gdb_socket, KERNEL_ELF)
        if self._place.continues:
            gdb.console("hbreak coronel_checkpoint")
            gdb.typed("continue", BOOT_SECONDS)
        else:
            _run_to(gdb, self._place)
        return gdb

    @cached_property
    def lldb(self) -> Lldb:
        """LLDB in the folder, with nothing loaded; the machine's stub is free for it."""
        _ = self.machine
        lldb = self._stack.enter_context(Lldb(script=None))
        lldb.console(f"script import os; os.chdir({str(self.folder)!r})")
        return lldb

    @cache  # noqa: B019 - a stage lives as long as its visitors
    def visitor(self, _name: str) -> "Stage":
        """Another kernel, with debuggers that have nothing loaded: for lines that load and connect."""
        return self._stack.enter_context(staged("detached", self._dumps))

    def beside_dumps(self) -> Path:
        """The folder, with `vmcore`, `core.elf`, `bug.coronel` and `crashes/` of `Dumps` in it."""
        source = self._dumps.folder
        if not (self.folder / "vmcore").exists():
            for name in ("vmcore", "core.elf"):
                (self.folder / name).symlink_to(source / name)
            shutil.copy(source / "bug.coronel", self.folder)
            shutil.copytree(source / "crashes", self.folder / "crashes")
        return self.folder

    def typed_in_gdb(self, command: str) -> str:
        """What GDB shows."""
        return self.gdb.typed(command, BOOT_SECONDS)

    def typed_in_lldb(self, command: str) -> str:
        """What LLDB shows; a refusal as it prints it."""
        try:
            return self.lldb.console(command, BOOT_SECONDS)
        except DebuggerRefused as error:
            return f"error: {error.message}\n"

    def in_shell(self, script: str) -> "subprocess.CompletedProcess[str]":
        """Run a script in the folder, the dumps beside it, the machine at its place if it is about that."""
        if "qmp.sock" in script:
            _ = self.gdb
        return run(script, self.beside_dumps())


def _run_to(gdb: Gdb, where: Place) -> None:
    if where.function:
        gdb.run_to(where.function, BOOT_SECONDS)
        return
    for _ in range(where.checkpoint):
        gdb.run_to("coronel_checkpoint", BOOT_SECONDS)


class Dumps:
    """The dumps that a reader of the documents has, made when they are first asked for.

    `vmcore`, `core.elf` and `bug.coronel` are of the place `corrupted`, `crashes/` of several kernels.
    """

    append = MIXED_THEN_OVERFLOW

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @cached_property
    def folder(self) -> Path:
        """Where they lie."""
        crashes = self._folder / "crashes"
        crashes.mkdir()
        with at_checkpoint(2, self.append) as stopped:
            for name, option in (("vmcore", "-z "), ("core.elf", "")):
                if answer := stopped.machine.monitor(f'dump-guest-memory {option}"{self._folder / name}"'):
                    raise LabError(f"no dump {name}: {answer}")
            stopped.gdb.console(f"coronel save {self._folder / 'bug.coronel'}", 60)
            shutil.copy(self._folder / "bug.coronel", crashes / "monday.coronel")
        for name, (append, checkpoint) in CRASHES.items():
            with at_checkpoint(checkpoint, append, memory="32M") as other:
                other.gdb.console(f"coronel save {crashes / name}.coronel", 60)
        return self._folder


def run(script: str, folder: Path) -> "subprocess.CompletedProcess[str]":
    """Run a script by bash as a user of `.venv` would; nobody types anything."""
    ours = ("PYTHONPATH", "MAKEFLAGS", "MAKELEVEL")
    kept = {"XDG_CACHE_HOME": str(Path.home() / ".cache"), **os.environ}
    for name in ours:
        kept.pop(name, None)
    with subprocess.Popen(
        ["bash", "-e", "-o", "pipefail", "-c", script],
        cwd=folder,
        env={**kept, "PATH": f"{ROOT / '.venv' / 'bin'}:{os.environ['PATH']}", "HOME": str(folder)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        process_group=0,
    ) as shell:
        try:
            output, _ = shell.communicate(timeout=SHELL_SECONDS)
        except BaseException:
            # Whatever the script has started goes with it.
            os.killpg(shell.pid, signal.SIGKILL)
            raise
    return subprocess.CompletedProcess(script, shell.returncode, output)


@contextmanager
def staged(name: str, dumps: Dumps) -> Iterator[Stage]:
    """The place of that name; afterwards everything that it started is ended, and its folder gone."""
    # The debuggers go first, then the machine, then its files.
    with TemporaryDirectory(prefix="coronel-doc-") as folder, ExitStack() as stack:
        yield Stage(place(name), Path(folder), dumps, stack)
