"""`make demo` as a user sees it: it ends well, and leaves nothing, interrupted or not."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lab.paths import ROOT


def start(tmp_path: Path) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": ".:qemu", "TMPDIR": str(tmp_path)}
    return subprocess.Popen(
        [sys.executable, "-m", "lab", "demo"],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def left_behind(tmp_path: Path) -> list[str]:
    """Files of the run, and processes whose command line names its directory."""
    processes = []
    for entry in Path("/proc").iterdir():
        try:
            line = (entry / "cmdline").read_bytes() if entry.name.isdigit() else b""
        except OSError:
            continue
        if str(tmp_path).encode() in line:
            processes.append(line.decode(errors="replace"))
    return [str(path) for path in tmp_path.iterdir()] + processes


def test_the_demo_finds_the_bug_and_says_what_to_type_next(tmp_path: Path) -> None:
    demo = start(tmp_path)
    output, _ = demo.communicate(timeout=100)
    assert demo.returncode == 0, output
    assert "heapcheck: kernel heap is sound" in output
    assert "HEAP001 block header overwritten" in output
    assert "What the kernel itself says it did" in output
    assert "Next: make debug" in output
    assert left_behind(tmp_path) == []


def wait_until_it_catches(process: "subprocess.Popen[str]", number: signal.Signals) -> None:
    status, deadline = Path(f"/proc/{process.pid}/status"), time.monotonic() + 30
    while True:
        caught = next(line for line in status.read_text().splitlines() if line.startswith("SigCgt:"))
        if int(caught.split()[1], 16) >> (number - 1) & 1:
            return
        assert time.monotonic() < deadline, "the demo does not start"
        time.sleep(0.01)


@pytest.mark.parametrize("seconds", [0.15, 0.6, 1.2])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_demo_leaves_nothing(tmp_path: Path, seconds: float, number: signal.Signals) -> None:
    demo = start(tmp_path)
    wait_until_it_catches(demo, signal.SIGTERM)  # before, Python itself is still starting
    time.sleep(seconds)
    demo.send_signal(number)
    output, _ = demo.communicate(timeout=30)
    assert "Traceback" not in output
    assert left_behind(tmp_path) == []
