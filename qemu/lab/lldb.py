"""One LLDB, spoken to through an agent of the laboratory's inside it, never by scraping a terminal."""

import json
import os
import select
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

from lab.errors import DebuggerRefused, LabError
from lab.gdbmi import gdb_environment
from lab.paths import LLDB_SCRIPT, ROOT
from lab.processes import Launched, end, signals_held, start

AGENT = ROOT / "qemu" / "lab" / "inside" / "lldb_agent.py"
LLDB = "lldb-19"


class Lldb(Launched):
    """An LLDB without user configuration; use as a context manager, leaving the block ends it.

    However it ends, the guest stays as it was: LLDB is killed, for its own ways to leave kill or resume it.
    """

    def __init__(
        self, *, script: Path | None = LLDB_SCRIPT, timeout_seconds: float = 30.0, lldb: str = LLDB
    ) -> None:
        self._command = [lldb, "-b", "-x", "-o", f"command script import {AGENT}"]
        self._script = script
        self._timeout_seconds = timeout_seconds
        self._process: subprocess.Popen[bytes] | None = None
        self._requests = self._replies = -1
        self._pending = b""
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the debugger

    def _begin(self) -> None:
        self.asynchronous(on=False)
        if self._script is not None:
            self.console(f"command script import {self._script}")

    def close(self) -> None:
        """End LLDB; a second call does nothing."""
        with signals_held():
            if self._process is not None:
                self._process.kill()
                end(self._process)
                os.close(self._requests)
                os.close(self._replies)
                self._said.close()
            self._process = None

    def attach(self, socket: Path, symbols: Path | None = None) -> None:
        """Load the kernel's symbols and connect to a machine's stub."""
        if symbols is not None:
            self.console(f"target create {symbols}")
        self.console(f"process connect unix-connect://{socket}")

    def console(self, command: str, timeout_seconds: float | None = None) -> str:
        """Run a command as typed at LLDB's prompt and return what it printed; `DebuggerRefused` otherwise."""
        reply = self._ask("run", command, timeout_seconds)
        if not reply["ok"]:
            raise DebuggerRefused(command, reply["error"])
        return str(reply["output"])

    def complete(self, text: str) -> list[str]:
        """What TAB offers behind `text`: the last word, completed."""
        matches: list[str] = self._ask("complete", text)["matches"]
        return matches

    def session(self, name: str) -> object:
        """The value of a variable of the `script` prompt."""
        return self._ask("session", name)["value"]

    def asynchronous(self, *, on: bool) -> None:
        """Whether commands that run the target return at once."""
        self._ask("asynchronous", "on" if on else "off")

    def state(self) -> str:
        """The state of the selected target's process in LLDB's words."""
        return str(self._ask("state", "")["value"])

    def type_of(self, name: str) -> list[Any] | None:
        """LLDB's own view of the class of that whole name (`inside/lldb_agent.py` says its form)."""
        found: list[Any] | None = self._ask("layout", name)["layout"]
        return found

    def run_to(self, symbol: str, timeout_seconds: float | None = None) -> None:
        """Run the target to the next arrival at `symbol`, by a hardware breakpoint."""
        self.console(f"breakpoint set -H -o true -n {symbol}")
        self.console("process continue", timeout_seconds)

    def _ask(self, what: str, text: str, timeout_seconds: float | None = None) -> dict[str, Any]:
        if self._process is None:
            raise LabError("LLDB is not running")
        try:
            os.write(self._requests, json.dumps({"what": what, "text": text}).encode() + b"\n")
        except OSError as error:
            raise LabError(f"LLDB has ended: {self._last_words()}") from error
        limit = self._timeout_seconds if timeout_seconds is None else timeout_seconds
        reply: dict[str, Any] = json.loads(self._line(time.monotonic() + limit, f"no answer to {text!r}"))
        return reply

    def _line(self, deadline: float, complaint: str) -> bytes:
        while b"\n" not in self._pending:
            ready, _, _ = select.select([self._replies], [], [], max(0.0, deadline - time.monotonic()))
            if not ready:
                raise LabError(f"{complaint} in time; LLDB said: {self._last_words()}")
            data = os.read(self._replies, 1 << 16)
            if not data:
                raise LabError(f"LLDB has ended: {complaint}; it said: {self._last_words()}")
            self._pending += data
        line, _, self._pending = self._pending.partition(b"\n")
        return line

    def _last_words(self) -> str:
        self._said.seek(0)
        return (self._said.read().decode(errors="replace").strip().splitlines() or ["nothing"])[-1]

    def _launch(self) -> None:
        """Start LLDB; the caller holds signals back."""
        theirs_in, self._requests = os.pipe()
        self._replies, theirs_out = os.pipe()
        environment = {**gdb_environment(), "CORONEL_LAB_PIPES": f"{theirs_in},{theirs_out}"}
        try:
            self._process = start(
                self._command,
                stdout=self._said,
                stderr=subprocess.STDOUT,
                pass_fds=[theirs_in, theirs_out],
                environment=environment,
            )
        except LabError:
            os.close(self._requests)
            os.close(self._replies)
            self._said.close()
            raise
        finally:
            os.close(theirs_in)
            os.close(theirs_out)
