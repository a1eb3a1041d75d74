"""`make bench`: figures of this machine and this run, each beside what it is to be measured against."""

import os
import re
import statistics
import subprocess
import time
from collections.abc import Sequence

from lab import differential
from lab.bench_dumps import dumps
from lab.bench_pages import page_walks
from lab.bench_replay import replaying
from lab.check_bench import checkers
from lab.machine import Machine
from lab.paths import BOOT_ELF, GDB_SCRIPT

BENCH_SECONDS = 120.0
LOADS = 5
SEQUENCES_SECONDS = 5.0
_LINE = re.compile(r"^coronel: bench (\d+) blocks, trace (on|off): (\d+) pairs/s$", re.M)


def main(_arguments: Sequence[str] = ()) -> int:
    """Print every figure."""
    kernel_heap()
    loading()
    checkers()
    print("\nmodel against kernel, random sequences")
    differential.run(SEQUENCES_SECONDS, seed=1, length=120)
    page_walks()
    dumps()
    replaying()
    return 0


def kernel_heap() -> None:
    """Print malloc/free pairs in the kernel, under emulation, with and without the trace."""
    with Machine(BOOT_ELF, "scenario=bench") as machine:
        text = machine.wait_for_serial("coronel: checkpoint 1 bench", BENCH_SECONDS)
    rates = {(int(live), trace): int(rate) for live, trace, rate in _LINE.findall(text)}
    print("kernel heap, malloc/free pairs of 64 bytes per second (QEMU without acceleration)")
    print(f"  {'live blocks':>11}  {'trace off':>10}  {'trace on':>10}  {'time on/off':>11}")
    for live in sorted({live for live, _ in rates}):
        off, on = rates[live, "off"], rates[live, "on"]
        print(f"  {live:>11,}  {off:>10,}  {on:>10,}  {off / on:>11.3f}")


def loading() -> None:
    """Print what the commands add to GDB's own start, once Python has kept what it compiled."""
    bare, loaded = [], []
    _seconds(["-ex", f"source {GDB_SCRIPT}", "-ex", "quit"])
    for _ in range(LOADS):
        bare.append(_seconds(["-ex", "quit"]))
        loaded.append(_seconds(["-ex", f"source {GDB_SCRIPT}", "-ex", "quit"]))
    alone, both = statistics.median(bare), statistics.median(loaded)
    print(f"\nGDB's start, median of {LOADS}: {alone:.3f} s alone, {both:.3f} s with the commands")
    print(f"  the commands add {both - alone:.3f} s (ratio {both / alone:.2f}); promised: at most 0.3 s")


def _seconds(arguments: Sequence[str]) -> float:
    start = time.monotonic()
    keeping = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    subprocess.run(["gdb", "-nx", "-batch", *arguments], check=True, capture_output=True, env=keeping)
    return time.monotonic() - start
