"""One GDB, spoken to through its machine interface (MI), never by scraping a terminal."""

import itertools
import os
import signal
import subprocess
import time
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pygdbmi.IoManager import IoManager

from lab.errors import GdbCommandError, LabError
from lab.processes import Launched, end, signals_held, start

# How long to look whether GDB itself has ended, between two looks at its output.
SLICE_SECONDS = 0.25
# After a record came in, how long to wait for another in the same read; only latency depends on it.
GATHER_SECONDS = 0.002


@dataclass(frozen=True)
class Reply:
    """GDB's answer to one command."""

    payload: dict[str, Any]
    """The result record."""
    console: str
    """What the command printed."""
    log: str
    """What it printed to the error stream: warnings, and messages before an error."""


def gdb_environment() -> dict[str, str]:
    """Return the environment a user's GDB has: nothing that helps it find this checkout's Python packages."""
    helpers = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")
    return {name: value for name, value in os.environ.items() if name not in helpers}


class Gdb(Launched):
    """A GDB without user configuration; use as a context manager, leaving the block ends it.

    `asynchronous` lets commands run while the target runs (GDB's `mi-async`); a plain session, as a
    user has it, does not.
    """

    def __init__(
        self,
        *,
        script: Path | None = None,
        asynchronous: bool = False,
        timeout_seconds: float = 30.0,
        environment: Mapping[str, str] | None = None,
        gdb: str = "gdb",
    ) -> None:
        self._command = [gdb, "-nx", "-q", "--interpreter=mi3"]
        self._script = script
        self._asynchronous = asynchronous
        self._timeout_seconds = timeout_seconds
        self._environment = gdb_environment() if environment is None else environment
        self._tokens = itertools.count(1)
        self._stops: list[dict[str, Any]] = []
        self._unread: deque[dict[str, Any]] = deque()
        self._process: subprocess.Popen[bytes] | None = None
        self._io: IoManager | None = None
        self.failed = False
        """Whether GDB refused the command that was typed last."""

    def _begin(self) -> None:
        self.mi("-gdb-set confirm off")
        self.mi("-gdb-set pagination off")
        self.mi("-gdb-set width 0")
        if self._asynchronous:
            self.mi("-gdb-set mi-async on")
        if self._script is not None:
            self.console(f"source {self._script}")

    def close(self) -> None:
        """End GDB; a second call does nothing."""
        with signals_held():
            if self._process is not None:
                # GDB 13 aborts, and may dump its core, when SIGTERM finds it; it has nothing to save.
                self._process.kill()
                end(self._process)
            self._process = None
            self._io = None

    @property
    def pid(self) -> int:
        """GDB's process id."""
        return self._running()[0].pid

    def attach(self, socket: Path, symbols: Path | None = None) -> None:
        """Load the kernel's symbols and connect to a machine's stub."""
        if symbols is not None:
            self.mi(f"-file-exec-and-symbols {quoted(str(symbols))}")
        self.mi(f"-target-select remote {socket}")
        # Connecting reports the stop it found the target in; later waits are for later stops.
        self._forget_stops()

    def mi(self, command: str, timeout_seconds: float | None = None) -> dict[str, Any]:
        """Run an MI command and return its result; raise GdbCommandError when GDB refuses it."""
        return self.finish(self.begin(command), command, timeout_seconds).payload

    def console(self, command: str, timeout_seconds: float | None = None) -> str:
        """Run a command as typed at GDB's prompt and return what it printed."""
        return self.run(command, timeout_seconds).console

    def run(self, command: str, timeout_seconds: float | None = None) -> Reply:
        """Run a command as typed at GDB's prompt; the reply keeps output, error stream and result apart."""
        token = self.begin(f"-interpreter-exec console {quoted(command)}")
        return self.finish(token, command, timeout_seconds)

    def typed(self, command: str, timeout_seconds: float | None = None) -> str:
        """Run a command as typed and return what a terminal shows, an error and the next stop too."""
        token = self.begin(f"-interpreter-exec console {quoted(command)}")
        shown: list[str] = []
        answered, running = False, False
        for record in self._records(timeout_seconds, f"no end of {command!r}"):
            if record["type"] in ("console", "target", "log"):
                shown.append(record["payload"])
            elif record["type"] == "output":  # of a program that GDB started: `pipe`, `shell`
                shown.append(f"{record['payload']}\n")
            elif record["type"] == "result" and record["token"] == token:
                answered, running = True, record["message"] == "running"
                self.failed = record["message"] == "error"
            elif record["type"] == "notify" and record["message"] == "stopped":
                running = False
            if answered and not running:
                break
        # What is said at a stop may come behind it, but before the answer to a later command.
        return "".join(shown) + self.console("echo", timeout_seconds)

    def begin(self, command: str) -> int:
        """Send an MI command without waiting; `finish` takes the token returned."""
        token = next(self._tokens)
        _, io = self._running()
        try:
            io.write(f"{token}{command}", timeout_sec=self._timeout_seconds, read_response=False)
        except OSError as error:
            raise LabError(f"GDB has ended: cannot send {command!r}") from error
        return token

    def finish(self, token: int, command: str, timeout_seconds: float | None = None) -> Reply:
        """Wait for the answer to a command that was begun."""
        console: list[str] = []
        log: list[str] = []
        for record in self._records(timeout_seconds, f"no answer to {command!r}"):
            if record["type"] in ("console", "target"):
                console.append(record["payload"])
            elif record["type"] == "log":
                log.append(record["payload"])
            elif record["type"] == "result" and record["token"] == token:
                payload = record["payload"] or {}
                if record["message"] == "error":
                    message = payload.get("msg", "unknown error")
                    raise GdbCommandError(command, message, "".join(console), "".join(log))
                return Reply(payload, "".join(console), "".join(log))
        raise AssertionError("unreachable: the records end with an exception")

    def wait_stopped(self, timeout_seconds: float | None = None) -> dict[str, Any]:
        """Wait until the target stops and return GDB's description of the stop.

        What is said behind it, as by a handler of the stop, is the beginning of the next command's output.
        """
        if not self._stops:
            for _ in self._records(timeout_seconds, "the target did not stop"):
                if self._stops:
                    break
        while any(_is_stop(record) for record in self._unread):
            self._unread.popleft()
        return self._stops.pop(0)

    def resume(self) -> None:
        """Let the target run and return at once."""
        self._forget_stops()
        self.mi("-exec-continue")

    def run_to(self, symbol: str, timeout_seconds: float | None = None) -> dict[str, Any]:
        """Run the target to the next arrival at `symbol` and return the stop.

        A hardware breakpoint, because before paging is on there is no memory at a kernel's address to
        patch.
        """
        number = self.mi(f"-break-insert -h {symbol}")["bkpt"]["number"]
        self.resume()
        stop = self.wait_stopped(timeout_seconds)
        self.mi(f"-break-delete {number}")
        if stop.get("bkptno") != number:
            raise LabError(f"the target did not reach {symbol}: {stop.get('reason', 'stopped')}")
        return stop

    def interrupt(self, timeout_seconds: float | None = None) -> dict[str, Any]:
        """Stop the running target, as Ctrl-C does, and return the stop."""
        if self._asynchronous:
            self.mi("-exec-interrupt")
        else:
            self.press_ctrl_c()
        return self.wait_stopped(timeout_seconds)

    def press_ctrl_c(self) -> None:
        """Send GDB the signal of Ctrl-C: it stops the target, or the command that is working."""
        self._running()[0].send_signal(signal.SIGINT)

    def evaluate(self, expression: str) -> int:
        """Return an expression's value as an unsigned 64-bit number."""
        whole = f"(unsigned long long)({expression})"
        value = self.mi(f"-data-evaluate-expression {quoted(whole)}")["value"]
        return int(value, 0)

    def _running(self) -> tuple[subprocess.Popen[bytes], IoManager]:
        if self._process is None or self._io is None:
            raise LabError("GDB is not running")
        return self._process, self._io

    def _launch(self) -> None:
        """Start GDB; the caller holds signals back."""
        pipe = subprocess.PIPE
        self._process = start(
            self._command, stdin=pipe, stdout=pipe, stderr=subprocess.STDOUT, environment=self._environment
        )
        if self._process.stdin is None or self._process.stdout is None:
            raise LabError("GDB has no pipes")
        self._io = IoManager(self._process.stdin, self._process.stdout, None, GATHER_SECONDS)

    def _forget_stops(self) -> None:
        self._stops.clear()
        self._unread.clear()

    def _records(self, timeout_seconds: float | None, complaint: str) -> Iterator[dict[str, Any]]:
        """Yield GDB's records as they come, noting each stop; raise when time is up or GDB has ended."""
        process, io = self._running()
        limit = self._timeout_seconds if timeout_seconds is None else timeout_seconds
        deadline = time.monotonic() + limit
        while True:
            ended = False
            if not self._unread:
                ended = process.poll() is not None
                self._unread += io.get_gdb_response(SLICE_SECONDS, raise_error_on_timeout=False)
                self._stops += [record["payload"] or {} for record in self._unread if _is_stop(record)]
            while self._unread:
                yield self._unread.popleft()
            if ended:
                raise LabError(f"GDB ended with code {process.returncode}: {complaint}")
            if time.monotonic() > deadline:
                raise LabError(f"{complaint} within {limit:g} s")


def _is_stop(record: Mapping[str, Any]) -> bool:
    return bool(record["type"] == "notify" and record["message"] == "stopped")


def quoted(text: str) -> str:
    """Return `text` as an MI string."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
