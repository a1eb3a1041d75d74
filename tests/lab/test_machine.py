"""The launcher: private, obedient, and gone afterwards, whatever happens. Real QEMU, no kernel needed."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lab.errors import LabError
from lab.machine import Machine
from lab.paths import ROOT


def gone(pid: int) -> bool:
    """Whether no process `pid` runs (one that ended and waits to be noticed by its parent counts as gone)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def wait_until_gone(pid: int, timeout_seconds: float = 10.0) -> bool:
    deadline = time.monotonic() + timeout_seconds
    while not gone(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    return gone(pid)


def test_boots_and_obeys_and_leaves_nothing() -> None:
    with Machine(paused=True, memory="32M") as machine:
        pid, directory = machine.pid, machine.directory
        assert "paused" in machine.monitor("info status")
        assert machine.gdb_socket.is_socket()
        assert machine.qmp_socket.is_socket()
        assert machine.serial() == ""
        assert "\r" not in machine.monitor("info registers")
    assert gone(pid)
    assert not directory.exists()


def test_directory_is_private() -> None:
    with Machine(paused=True) as machine:
        assert machine.directory.stat().st_mode & 0o777 == 0o700


def test_cleans_up_when_the_body_raises() -> None:
    with pytest.raises(ZeroDivisionError), Machine(paused=True) as machine:
        raise ZeroDivisionError
    assert wait_until_gone(machine._running().pid)
    assert not machine.directory.exists()


def test_closing_twice_is_harmless() -> None:
    with Machine(paused=True) as machine:
        machine.close()
    with pytest.raises(LabError, match="not running"):
        machine.monitor("info status")


def test_two_machines_do_not_meet() -> None:
    with Machine(paused=True) as one, Machine(paused=True) as other:
        assert one.directory != other.directory
        assert one.pid != other.pid
        assert "paused" in one.monitor("info status")
        assert "paused" in other.monitor("info status")


def test_dead_at_start_says_why_in_one_line() -> None:
    machine = Machine(extra=["-device", "no-such-device"])
    with pytest.raises(LabError, match="no-such-device") as caught, machine:
        pass
    assert "ended at start with code 1" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not machine.directory.exists()


def test_missing_kernel_and_missing_qemu() -> None:
    with pytest.raises(LabError, match="make kernel"), Machine(Path("no/such/kernel")):
        pass
    with pytest.raises(LabError, match="make setup"), Machine(qemu="no-such-qemu"):
        pass


def test_waiting_ends_in_time() -> None:
    with Machine(paused=True) as machine:
        with pytest.raises(LabError, match="still running"):
            machine.wait_exit(0.1)
        with pytest.raises(LabError, match="no 'hello' on the serial line"):
            machine.wait_for_serial("hello", 0.1)
        os.kill(machine.pid, signal.SIGKILL)
        with pytest.raises(LabError, match="ended before"):
            machine.wait_for_serial("hello", 10)
        assert machine.wait_exit() == -signal.SIGKILL
        with pytest.raises(LabError, match="monitor"):
            machine.monitor("info status")


CHILD = """
import sys, time
from lab.machine import Machine
from lab.surface import run

def main() -> int:
    with Machine(paused=True) as machine:
        print(machine.pid, machine.directory, flush=True)
        time.sleep(60)
    return 0

run("child", main)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_a_signal_leaves_no_machine(number: signal.Signals) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "qemu")}
    with subprocess.Popen(
        [sys.executable, "-c", CHILD],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    ) as child:
        assert child.stdout is not None
        pid, directory = child.stdout.readline().split()
        child.send_signal(number)
        _, complaint = child.communicate(timeout=20)
    assert wait_until_gone(int(pid))
    if number == signal.SIGKILL:
        # Nothing can run in a killed process: its directory stays, its QEMU does not.
        subprocess.run(["rm", "-r", directory], check=True)
    else:
        assert child.returncode == 128 + number
        assert complaint == f"child: stopped by {number.name}\n"
        assert not Path(directory).exists()
