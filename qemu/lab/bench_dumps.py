"""`make bench`, of dumps: what opening and checking one costs, each figure beside its limit or its peer.

Whole processes are measured as a user starts them: wall clock, and the peak of their memory.
"""

import os
import shutil
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

from coronel_gdb.backends.triage import look, on_cores
from coronel_gdb.cli import main
from lab.machine import Machine
from lab.paths import BOOT_ELF, GDB_SCRIPT, KERNEL_ELF
from lab.stopped import MIXED_THEN_OVERFLOW, at_checkpoint

GIB = 1 << 30
_RUNS = 7
_DUMPS = 100
_KDUMP_PAGES = 2 * GIB // 4096
# Start-up on a dump of 2 GiB, of the tools that do it today, measured elsewhere.
_CRASH_SECONDS, _DRGN_SECONDS = 7.0, 0.4
_MOST_SECONDS, _MOST_KIB, _MOST_INDEX_MS, _MOST_PAGE_BYTES = 0.3, 60 << 10, 50, 40
_OPENED = """
import sys, time, tracemalloc
from pathlib import Path
from coronel_gdb.dumps.recognise import open_dump
start = time.process_time(); open_dump(Path(sys.argv[1])); taken = time.process_time() - start
tracemalloc.start(); dump = open_dump(Path(sys.argv[1])); kept = tracemalloc.get_traced_memory()[0]
print(taken, kept)
"""
# A child's `ru_maxrss` begins with that of the process that it was forked from: so it tells its own peak.
_PEAK = """
import sys
from coronel_gdb.cli import main
code = main(sys.argv[1:])
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(peak.split()[1], file=sys.stderr)
sys.exit(code)
"""


@dataclass(frozen=True)
class Cost:
    """Of a whole process: median seconds on the clock and of the CPU; its peak in KiB where it tells it."""

    seconds: float
    cpu: float
    peak: int = 0

    def __str__(self) -> str:
        times = f"{self.seconds:>6.3f} s (CPU {self.cpu:.3f})"
        return times + (f" {self.peak >> 10:>4} MiB" if self.peak else "")


def dumps() -> None:
    """Print all of it."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        of_any_size(folder)
        of_two_gib(folder)
        small_ones(folder)


def of_any_size(folder: Path) -> None:
    """Opening an ELF core and a raw image of 64 GiB, sparse: what Python costs alone stands above them."""
    elf, raw = folder / "elf", folder / "raw"
    with Machine(BOOT_ELF, "scenario=mixed seed=42 ops=2000") as machine:
        machine.wait_for_serial("coronel: checkpoint 1")
        machine.monitor("stop")
        machine.monitor(f'dump-guest-memory "{elf}"')
        machine.monitor(f'pmemsave 0 {128 << 20} "{raw}"')
    grown(elf)
    elf.chmod(0o600)
    os.truncate(raw, 64 * GIB)
    python = cost([sys.executable, "-c", "pass"])
    print(f"\ndumps of 64 GiB, sparse, whole processes, median of {_RUNS}; Python alone: {python}")
    print(f"  limits: {_MOST_SECONDS} s and {_MOST_KIB >> 10} MiB to open one")
    for path, form in ((elf, "ELF core"), (raw, "raw")):
        for line in ("status", "pagewalk g_kernel_heap", "heapcheck", "memcheck"):
            taken = cost(coronel(line, path))
            # Of the CPU: what else this machine does is not the tool's.
            within = taken.cpu <= _MOST_SECONDS and taken.peak <= _MOST_KIB
            print(f"  {f'{form}: {line}':<40} {taken}   {'within' if within else 'MISSED'}")
        path.unlink()


def grown(elf: Path) -> None:
    """Let the core's last segment, the firmware, be the RAM from 4 GiB on, all of it a hole of the file."""
    with elf.open("rb") as file:
        data = bytearray(file.read(4096))
    (table,), (count,) = struct.unpack_from("<Q", data, 32), struct.unpack_from("<H", data, 56)
    at = table + 56 * (count - 1)
    end = elf.stat().st_size
    struct.pack_into("<QQQQQ", data, at + 8, end, 4 * GIB, 4 * GIB, 60 * GIB, 60 * GIB)
    elf.chmod(0o600)
    with elf.open("r+b") as file:
        file.write(data)
        file.truncate(end + 60 * GIB)


def of_two_gib(folder: Path) -> None:
    """Opening and checking dumps of a guest with 2 GiB, beside the live machine and other tools."""
    path, plain = folder / "dump", folder / "plain"
    with at_checkpoint(1, "scenario=mixed seed=42 ops=2000", memory="2G") as stopped:
        stopped.gdb.run("disconnect")
        line = [
            "gdb", "-nx", "-batch", "-ex", f"source {GDB_SCRIPT}", "-ex", f"file {KERNEL_ELF}",
            "-ex", f"target remote {stopped.machine.gdb_socket}", "-ex", "memcheck", "-ex", "disconnect",
        ]  # fmt: skip
        live = cost(line)
        print(f"\ndumps of a guest with 2 GiB; live, GDB with memcheck: {live} as a whole process")
        print(f"  crash starts in {_CRASH_SECONDS} s on such a dump, drgn in {_DRGN_SECONDS} s (elsewhere)")
        print(f"  limits of a kdump's index: {_MOST_INDEX_MS} ms, {_MOST_PAGE_BYTES} bytes a page")
        print(
            f"  {'format':<22} {'open':>9} {'kept':>12} {'B/page':>7} {'status':>29} {'memcheck':>29}"
            f" {'of live, CPU':>12}"
        )
        for name, option in (
            ("kdump zlib, flattened", "-z "),
            ("ELF, paging off", ""),
            ("ELF, paging on", "-p "),
        ):
            stopped.machine.monitor(f'dump-guest-memory {option}"{path}"')
            _row(name, path, live)
            if option == "-z ":
                with path.open("rb") as source:
                    subprocess.run(
                        ["makedumpfile", "-R", plain], stdin=source, capture_output=True, check=True
                    )
                _row("kdump zlib, plain", plain, live)
                plain.unlink()
            path.unlink()


def _row(name: str, path: Path, live: Cost) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _OPENED, str(path)], capture_output=True, text=True, check=True
    )
    opened, kept = map(float, done.stdout.split())
    start, checked = cost(coronel("status", path)), cost(coronel("memcheck", path))
    print(
        f"  {name:<22} {1000 * opened:>6.1f} ms {kept / 1024:>8.0f} KiB {kept / _KDUMP_PAGES:>7.1f}"
        f" {start} {checked} {checked.seconds / live.seconds:>6.2f}, {checked.cpu / live.cpu:.2f}"
    )


def small_ones(folder: Path) -> None:
    """How small they are, and how triage of many grows with the cores."""
    print("\nsmall dumps")
    saved = []
    for memory in ("32M", "128M", "1G"):
        path = folder / f"small-{memory}"
        with at_checkpoint(2, MIXED_THEN_OVERFLOW, memory=memory) as stopped:
            stopped.gdb.console(f"coronel save {path}", 60)
            ram = int(
                stopped.machine.monitor("info memory_size_summary").split("base memory: ")[1].split()[0]
            )
        size = path.stat().st_size
        print(f"  {memory:>5} of RAM: {size >> 10:,} KiB, {100 * size / ram:.2f} %")
        saved.append(path)
    crashes = [folder / f"crash-{number}" for number in range(_DUMPS)]
    for number, crash in enumerate(crashes):
        shutil.copy(saved[number % 2], crash)
    seconds = {}
    for workers in (1, len(os.sched_getaffinity(0))):
        start = time.monotonic()
        looked = list(on_cores(list(map(str, crashes)), None, workers, look))
        seconds[workers] = time.monotonic() - start
        assert all(one.causes and not one.error for one in looked)
    (one, alone), (many, together) = min(seconds.items()), max(seconds.items())
    print(f"triage of {_DUMPS} small dumps: {alone:.1f} s with {one} process, {together:.1f} s with {many}:")
    print(f"  {alone / together:.2f} times as fast with {many} times the cores")


def coronel(line: str, dump: Path) -> list[str]:
    """The words of a command line; what it keeps for later is there, as after any first run."""
    words = [*line.split(), "--dump", str(dump), "--kernel", str(KERNEL_ELF)]
    with redirect_stdout(StringIO()):
        main(words)
    return [sys.executable, "-c", _PEAK, *words]


def cost(words: Sequence[str]) -> Cost:
    """Run a process several times; what it prints is thrown away."""
    seconds, cpu, peaks = [], [], [0]
    for _ in range(_RUNS):
        start, before = time.monotonic(), os.times()
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        after = os.times()
        seconds.append(time.monotonic() - start)
        cpu.append(
            after.children_user + after.children_system - before.children_user - before.children_system
        )
        peaks += [int(word) for word in done.stderr.split()[:1] if word.isdecimal()]
    return Cost(statistics.median(seconds), statistics.median(cpu), max(peaks))
