"""`make bench`, of dumps: what opening one costs, in time and memory, beside what Python alone costs."""

import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from lab.machine import Machine
from lab.paths import BOOT_ELF, KERNEL_ELF

_RUNS = 5
_MEASURED = """
import sys, time, tracemalloc
from pathlib import Path
from coronel_gdb.dumps.recognise import open_dump
start = time.perf_counter(); open_dump(Path(sys.argv[1])); taken = time.perf_counter() - start
tracemalloc.start(); dump = open_dump(Path(sys.argv[1])); kept = tracemalloc.get_traced_memory()[0]
print(taken, kept)
"""


def dumps() -> None:
    """Print, for each format, the time and memory of opening, and those of a whole `coronel frames`."""
    with (
        tempfile.TemporaryDirectory() as folder,
        Machine(BOOT_ELF, "scenario=mixed seed=42 ops=2000", memory="2G") as machine,
    ):
        machine.wait_for_serial("coronel: checkpoint 1")
        machine.monitor("stop")
        path = Path(folder) / "dump"
        python, _ = _run(["-c", "pass"])
        print(f"\ndumps of a guest with 2 GiB, median of {_RUNS}; Python alone: {python:.3f} s")
        print(f"  {'format':<22}  {'open':>9}  {'kept':>10}  {'heapcheck':>9}  {'of Python':>9}  {'peak':>8}")
        for name, option in (
            ("kdump zlib, flattened", "-z "),
            ("ELF, paging off", ""),
            ("ELF, paging on", "-p "),
        ):
            machine.monitor(f'dump-guest-memory {option}"{path}"')
            done = subprocess.run(
                [sys.executable, "-c", _MEASURED, str(path)], capture_output=True, text=True, check=True
            )
            opened, kept = map(float, done.stdout.split())
            words = ["-m", "coronel_gdb.cli", "heapcheck", "--dump", str(path), "--kernel", str(KERNEL_ELF)]
            seconds, peak = _run(words)
            print(
                f"  {name:<22}  {1000 * opened:>6.1f} ms  {kept / 1024:>6.0f} KiB"
                f"  {seconds:>7.3f} s  {seconds / python:>9.1f}  {peak >> 10:>4} MiB"
            )
            path.unlink()


def _run(words: Sequence[str]) -> tuple[float, int]:
    """Median seconds and the largest peak in KiB of all children so far."""
    seconds = []
    for _ in range(_RUNS):
        start = time.monotonic()
        subprocess.run([sys.executable, *words], check=True, capture_output=True)
        seconds.append(time.monotonic() - start)
    return statistics.median(seconds), resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
