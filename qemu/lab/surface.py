"""What the front ends share: signals become one exception, failures one line and an exit code."""

import os
import signal
import sys
from collections.abc import Callable
from types import FrameType
from typing import NoReturn

from lab.errors import LabError

COULD_NOT = 2
_STOPPERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stopped(BaseException):
    """The user or the system asked this program to stop; passes every `except Exception`."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


def run(name: str, main: Callable[[], int]) -> NoReturn:
    """Run a front end to its exit code, whatever happens to it."""
    for number in _STOPPERS:
        signal.signal(number, _stop)
    # Each line at once, also into a pipe.
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # a TextIOWrapper, unless replaced
    try:
        code = main()
    except LabError as error:
        print(f"{name}: {error}", file=sys.stderr)
        code = COULD_NOT
    except Stopped as stop:
        print(f"{name}: stopped by {stop}", file=sys.stderr)
        code = 128 + stop.number
    except BrokenPipeError:
        # The reader (a pager, `head`) has seen enough; the interpreter must not fail again at its last flush.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 128 + signal.SIGPIPE
    sys.exit(code)


def _stop(number: int, _frame: FrameType | None) -> None:
    # From here on only cleaning up is left, and that takes a few seconds at most: let it.
    for other in _STOPPERS:
        signal.signal(other, signal.SIG_IGN)
    raise Stopped(number)
