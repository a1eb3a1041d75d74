"""Hand the terminal to an interactive child, as a shell does for its foreground job."""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence

from lab.processes import end, signals_held


def run_in_foreground(command: Sequence[str], environment: Mapping[str, str]) -> int:
    """Run an interactive program and return its exit code.

    It gets a process group of its own in the foreground of the terminal. Ctrl-C then reaches it alone:
    a `make` in the same group would die at the second one and leave the program without a terminal.
    """
    with signals_held():
        child = subprocess.Popen(command, env=environment, process_group=0)
    try:
        if not sys.stdin.isatty():
            return child.wait()
        return _attend(child)
    finally:
        with signals_held():
            end(child)


def _attend(child: subprocess.Popen[bytes]) -> int:
    """Wait for the child; when the user suspends it (Ctrl-Z), suspend this job with it."""
    terminal = sys.stdin.fileno()
    own_group = os.getpgrp()
    # A background process that gives the terminal away is stopped by this signal unless it is ignored.
    signal.signal(signal.SIGTTOU, signal.SIG_IGN)
    try:
        while True:
            os.tcsetpgrp(terminal, child.pid)
            # It may have asked for the terminal before it had it, and been stopped for that.
            os.killpg(child.pid, signal.SIGCONT)
            end_of_wait = os.waitid(os.P_PID, child.pid, os.WEXITED | os.WSTOPPED | os.WNOWAIT)
            os.tcsetpgrp(terminal, own_group)
            if end_of_wait is None or end_of_wait.si_code != os.CLD_STOPPED:
                return child.wait()
            os.killpg(own_group, signal.SIGTSTP)
    finally:
        os.tcsetpgrp(terminal, own_group)
