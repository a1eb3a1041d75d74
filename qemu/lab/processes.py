"""Child processes that never outlive their parent, and signals that wait for a good moment."""

import shutil
import signal
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import IO, Self

from lab.errors import LabError

# How long a child may take over each of: ending when told to, dying when killed.
END_SECONDS = 3.0

_HELD = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def start(
    command: Sequence[str],
    *,
    stdin: int = subprocess.DEVNULL,
    stdout: int | IO[bytes] = subprocess.DEVNULL,
    stderr: int | IO[bytes] = subprocess.DEVNULL,
    pass_fds: Sequence[int] = (),
    environment: Mapping[str, str] | None = None,
) -> subprocess.Popen[bytes]:
    """Start a child in a session of its own, that is killed when this process dies.

    Its own session, because Ctrl-C in the terminal is for this process, which then ends its children in
    order. Killed by the kernel (PR_SET_PDEATHSIG), because a parent that is itself killed runs no
    clean-up; util-linux's setpriv sets that between fork and exec, where Python code is not safe.
    It is the starting *thread* whose death counts: start children in a thread that lasts.
    """
    program = shutil.which(command[0])
    if program is None:
        raise LabError(f"{command[0]} is not installed: run `make setup`")
    setpriv = shutil.which("setpriv")
    bound = [setpriv, "--pdeathsig", "KILL", "--"] if setpriv else []
    return subprocess.Popen(
        [*bound, program, *command[1:]],
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
        pass_fds=pass_fds,
        env=environment,
        start_new_session=True,
        bufsize=0,
    )


def end(process: subprocess.Popen[bytes]) -> None:
    """End a child for certain: ask, then kill; close its pipes."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(END_SECONDS)
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe is not None:
            pipe.close()


@contextmanager
def signals_held() -> Iterator[None]:
    """Keep SIGINT, SIGTERM and SIGHUP until the body is done, then deliver them.

    A handler that raises between "the process is started" and "the process is noted" would leave it
    behind. Bodies are short or bounded. Python delivers signals to the main thread, so elsewhere there
    is nothing to hold.
    """
    arrived: list[int] = []

    def note(number: int, _frame: FrameType | None) -> None:
        arrived.append(number)

    try:
        # A disposition set by foreign code reads as None and cannot be put back: leave it.
        saved = {number: signal.getsignal(number) for number in _HELD if signal.getsignal(number) is not None}
        for number in saved:
            signal.signal(number, note)
    except ValueError:  # not the main thread
        yield
        return
    try:
        yield
    finally:
        for number, handler in saved.items():
            signal.signal(number, handler)
        for held in dict.fromkeys(arrived):
            signal.raise_signal(held)


class Launched(ABC):
    """What is launched as a `with` block begins, and ended when it is left or never comes to begin."""

    def __enter__(self) -> Self:
        try:
            with signals_held():
                self._launch()
            self._begin()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @abstractmethod
    def close(self) -> None:
        """End it; a second call does nothing."""

    @abstractmethod
    def _launch(self) -> None:
        """Start the process and note it; signals are held back."""

    @abstractmethod
    def _begin(self) -> None:
        """Speak to it for the first time."""
