"""One QEMU, booted for one run: its sockets, its serial log, and an end that is certain."""

import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from lab.errors import LabError
from lab.monitor import Monitor
from lab.processes import Launched, end, signals_held, start

# An emulated machine on a busy computer starts slowly, but this is far more than it needs.
START_SECONDS = 30.0
POLL_SECONDS = 0.02
# A unix socket's path must fit sockaddr_un.
SOCKET_PATH_MAX = 107


class Machine(Launched):
    """A QEMU without display that boots `kernel` (a 32-bit multiboot ELF), or nothing.

    Use as a context manager. Everything the run needs lies in one private directory: `gdb_socket` for
    GDB's `target remote`, `qmp_socket` free for the program under test (the laboratory speaks to QEMU
    over a socket pair of its own), `serial_log`. Leaving the block ends QEMU and removes the directory.
    """

    ACCELERATOR = "tcg"

    def __init__(
        self,
        kernel: Path | None = None,
        append: str = "",
        *,
        memory: str = "128M",
        cpus: int = 1,
        cpu_model: str = "max",
        paused: bool = False,
        extra: Sequence[str] = (),
        qemu: str = "qemu-system-x86_64",
    ) -> None:
        self._kernel = kernel
        self._options = [
            "-accel", self.ACCELERATOR, "-display", "none", "-nodefaults", "-no-user-config", "-no-reboot",
            "-m", memory, "-smp", str(cpus), "-cpu", cpu_model,
            "-device", "isa-debug-exit,iobase=0xf4,iosize=4",
        ]  # fmt: skip
        if kernel is not None:
            self._options += ["-kernel", str(kernel), "-append", append]
        if paused:
            self._options.append("-S")
        self._extra = tuple(extra)
        self._qemu = qemu
        self._cleanup = ExitStack()
        self._process: subprocess.Popen[bytes] | None = None
        self._monitor: Monitor | None = None
        self._directory = Path()

    def close(self) -> None:
        """End QEMU and remove the run's directory; a second call does nothing."""
        with signals_held():
            self._monitor = None
            self._cleanup.close()

    @property
    def directory(self) -> Path:
        """The run's private directory."""
        return self._directory

    @property
    def gdb_socket(self) -> Path:
        """Where QEMU's GDB stub listens."""
        return self._directory / "gdb.sock"

    @property
    def qmp_socket(self) -> Path:
        """Where a second QMP server listens, for the program under test."""
        return self._directory / "qmp.sock"

    @property
    def serial_log(self) -> Path:
        """The file that receives the first serial line."""
        return self._directory / "serial.log"

    @property
    def pid(self) -> int:
        """QEMU's process id."""
        return self._running().pid

    def monitor(self, command: str) -> str:
        """Run a command of QEMU's monitor for people, such as `info tlb`, and return its text."""
        if self._monitor is None:
            raise LabError("the machine is not running")
        return self._monitor.human(command)

    def serial(self) -> str:
        """Return what the guest has written to its serial line so far."""
        try:
            return self.serial_log.read_text(errors="replace").replace("\r\n", "\n")
        except FileNotFoundError:
            return ""

    def wait_for_serial(self, text: str, timeout_seconds: float = 30.0) -> str:
        """Wait until the serial line has shown `text`; return everything up to now."""
        deadline = time.monotonic() + timeout_seconds
        while True:
            # Asked first: what a QEMU wrote before it ended is in the file by the time it is read.
            ended = self._running().poll() is not None
            seen = self.serial()
            if text in seen:
                return seen
            last = (seen.strip().splitlines() or ["nothing"])[-1]
            if ended:
                raise LabError(f"QEMU ended before the serial line showed {text!r}; last: {last}")
            if time.monotonic() > deadline:
                raise LabError(f"no {text!r} on the serial line within {timeout_seconds:g} s; last: {last}")
            time.sleep(POLL_SECONDS)

    def wait_exit(self, timeout_seconds: float = 30.0) -> int:
        """Wait until QEMU ends by itself; return its exit code (isa-debug-exit gives value * 2 + 1)."""
        try:
            return self._running().wait(timeout_seconds)
        except subprocess.TimeoutExpired as error:
            raise LabError(f"QEMU is still running after {timeout_seconds:g} s") from error

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise LabError("the machine is not running")
        return self._process

    def _launch(self) -> None:
        """Make the directory and start QEMU in it; the caller holds signals back."""
        if self._kernel is not None and not self._kernel.is_file():
            raise LabError(f"no kernel at {self._kernel}: run `make kernel`")
        self._directory = Path(tempfile.mkdtemp(prefix="coronel-lab-"))  # mode 0700
        self._cleanup.callback(shutil.rmtree, self._directory, ignore_errors=True)
        if len(str(self.gdb_socket)) > SOCKET_PATH_MAX:
            raise LabError(
                f"the path {self._directory} is too long for a socket: set TMPDIR to a shorter one"
            )
        ours, theirs = socket.socketpair()
        self._cleanup.callback(ours.close)
        self._connection = ours
        # In an -option a comma separates, a doubled one is a comma.
        gdb, qmp, serial = (
            str(path).replace(",", ",,") for path in (self.gdb_socket, self.qmp_socket, self.serial_log)
        )
        with theirs, (self._directory / "qemu.stderr").open("wb") as stderr:
            self._process = start(
                [
                    self._qemu, *self._options,
                    "-chardev", f"file,id=serial0,path={serial}", "-serial", "chardev:serial0",
                    "-chardev", f"socket,id=gdb0,path={gdb},server=on,wait=off", "-gdb", "chardev:gdb0",
                    "-chardev", f"socket,id=lab,fd={theirs.fileno()}", "-mon", "chardev=lab,mode=control",
                    "-chardev", f"socket,id=qmp0,path={qmp},server=on,wait=off",
                    "-mon", "chardev=qmp0,mode=control",
                    *self._extra,
                ],
                stderr=stderr,
                pass_fds=[theirs.fileno()],
            )  # fmt: skip
            self._cleanup.callback(end, self._process)

    def _begin(self) -> None:
        """Wait until QEMU obeys its monitor, or say why it does not."""
        try:
            self._monitor = Monitor(self._connection, timeout_seconds=START_SECONDS)
            self._cleanup.callback(self._monitor.close)
        except LabError as error:
            try:
                code = self._running().wait(1.0)
            except subprocess.TimeoutExpired:
                raise error from None
            complaint = " ".join((self._directory / "qemu.stderr").read_text(errors="replace").split())
            raise LabError(
                f"QEMU ended at start with code {code}: {complaint or 'it gave no reason'}"
            ) from error
