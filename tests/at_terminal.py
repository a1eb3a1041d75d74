"""A debugger at a terminal, as a user has it: to type, to interrupt, to be asked by a pager."""

import os
import pty
import select
import signal
import time
from collections.abc import Sequence
from contextlib import suppress

from lab.gdbmi import gdb_environment
from lab.processes import end, start


class Terminal:
    """A program at a terminal of its own; `text` is what it has shown since the last wait."""

    def __init__(self, words: Sequence[str]) -> None:
        self.master, theirs = pty.openpty()
        self.process = start(
            words,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            environment={**gdb_environment(), "TERM": "dumb"},
        )
        os.close(theirs)
        self.text = ""

    def type(self, line: str) -> None:
        os.write(self.master, f"{line}\n".encode())

    def wait_for(self, text: str, limit_seconds: float = 30.0) -> None:
        """Until it has shown `text` since the last time."""
        deadline = time.monotonic() + limit_seconds
        while text not in self.text:
            assert time.monotonic() < deadline, f"no {text!r} in:\n{self.text}"
            if select.select([self.master], [], [], 0.1)[0]:
                self.text += os.read(self.master, 1 << 16).decode(errors="replace")
        self.text = self.text.partition(text)[2]

    def interrupt_until(self, text: str, limit_seconds: float = 30.0) -> None:
        """Ctrl-C every two seconds: one that comes before the command has begun is none for it."""
        deadline = time.monotonic() + limit_seconds
        while time.monotonic() < deadline:
            self.process.send_signal(signal.SIGINT)
            with suppress(AssertionError):
                return self.wait_for(text, 2.0)
        raise AssertionError(f"no {text!r} in:\n{self.text}")

    def close(self) -> None:
        self.process.kill()
        end(self.process)
        os.close(self.master)


def gdb_at_terminal(typed: Sequence[str]) -> Terminal:
    """GDB with nothing loaded, in which these lines are typed first."""
    options = [part for line in typed for part in ("-ex", line)]
    return Terminal(["gdb", "-nx", "-q", "-iex", "set auto-load python-scripts off", *options])
