"""Stops of the kernel, each with every dump that can be taken of it."""

import json
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, redirect_stdout
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from typing import Any

from coronel_gdb.cli import main
from lab.paths import KERNEL_ELF
from lab.programs import modules
from lab.scenarios import Scenario, scenarios
from lab.stopped import BOOT_SECONDS, MIXED_THEN_OVERFLOW, Stopped, at_checkpoint, in_scenario
from tests.dumps.writers import flattened, kdump, pages_of_kdump

CORES = ("elf", "elf_paging")
KDUMPS = tuple(f"{codec}{form}" for codec in ("zlib", "lzo", "snappy", "zstd") for form in ("", "_flattened"))
RAW = ("raw", "raw_found")
"""With the top table named by `--cr3`, and found by sight."""
SMALL = ("small", "small_of_elf")
"""By `coronel save`: in GDB on the stopped machine, and of the ELF core."""
FORMATS = (*CORES, *KDUMPS, *RAW, *SMALL)


@dataclass(frozen=True)
class Stop:
    """Where the kernel is stopped: a scenario's end, a checkpoint, or a function that is reached after it."""

    name: str
    append: str = ""
    checkpoint: int = 1
    function: str = ""
    options: dict[str, Any] = field(default_factory=lambda: {"memory": "32M"})
    scenario: Scenario | None = None
    formats: Sequence[str] = FORMATS
    found: frozenset[str] = frozenset()
    """Codes that must be among the findings; when there are none, nothing is found."""
    below: int | None = None
    """Where the hole of the RAM begins; it ends at 4 GiB."""
    thorough: bool = False
    """Whether every command is asked on every format, and with its variants."""

    def reached(self) -> AbstractContextManager[Stopped]:
        """The machine, booted to the stop."""
        if self.scenario is not None:
            return in_scenario(self.scenario, **self.options)
        return at_checkpoint(self.checkpoint, self.append, **self.options)


def _listed(scenario: Scenario) -> Stop:
    found = frozenset(code for codes in scenario.findings.values() for code in codes)
    if scenario.name == "selftest":  # it calls the heap wrongly on purpose, which the counters tell
        found = frozenset({"HEAP011"})
    # The largest block that it asks for needs the machine that the list gives it.
    options = {} if scenario.name == "large" else {"memory": "32M"}
    return Stop(scenario.name, scenario=scenario, options=options, found=found)


_TWO = modules(["pause a", "pause b"])
# Half of the RAM below a hole that ends at 4 GiB, in memory of two NUMA nodes.
_SPLIT = [
    "-machine", "pc,max-ram-below-4g=64M",
    "-object", "memory-backend-ram,id=one,size=48M", "-object", "memory-backend-ram,id=two,size=80M",
    "-numa", "node,memdev=one", "-numa", "node,memdev=two",
]  # fmt: skip
_OVERFLOW = frozenset({"HEAP001"})
STOPS = [
    *map(_listed, scenarios().values()),
    Stop("mixed_overflow", MIXED_THEN_OVERFLOW, 2, found=_OVERFLOW, thorough=True),
    Stop("in_a_process", "scenario=processes", 1, "sys_write", {"memory": "32M", "extra": _TWO}),
    Stop(
        "split_ram",
        "scenario=mixed,overflow seed=42 ops=500",
        2,
        options={"extra": _SPLIT},
        below=64 << 20,
        found=_OVERFLOW,
    ),
    # As much RAM as QEMU's PCI hole splits by itself: formats that store no empty page.
    Stop(
        "beyond_the_hole",
        "scenario=mixed,overflow seed=42 ops=500",
        2,
        options={"memory": "4608M"},
        found=_OVERFLOW,
        formats=("zlib_flattened", "small"),
    ),
]


@dataclass
class Taken:
    """One stop, and its dumps by format."""

    stop: Stop
    stopped: Stopped
    files: dict[str, Path]
    cpu: int
    live: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def cr3(self) -> int:
        """The top table that the stopped CPU uses."""
        return self.stopped.gdb.evaluate("(unsigned long)$cr3")

    def alive(self, line: str) -> dict[str, Any]:
        """The report of the debugger on the stopped machine."""
        if line not in self.live:
            self.live[line] = json.loads(self.stopped.gdb.console(f"coronel {line} --json", 60))
        return self.live[line]


@contextmanager
def taken(stop: Stop, folder: Path) -> Iterator[Taken]:
    """Boot, stop, and take every dump; machine and dumps are gone afterwards."""
    with stop.reached() as stopped:
        if stop.function:
            stopped.gdb.run_to(stop.function, BOOT_SECONDS)
        cpu = stopped.gdb.evaluate("$_thread") - 1
        yield Taken(stop, stopped, take(stopped, folder, stop.formats, stop.below), cpu)
    for path in folder.iterdir():
        path.unlink()


def take(stopped: Stopped, folder: Path, formats: Sequence[str], below: int | None) -> dict[str, Path]:
    """The dumps of a stopped machine; those that its QEMU was built without are made of the one in zlib."""
    files = {name: folder / name.removesuffix("_found") for name in formats}
    monitor = stopped.machine.monitor
    for name, option in (("elf", ""), ("elf_paging", "-p "), ("zlib_flattened", "-z ")):
        if name in formats:
            answer = monitor(f'dump-guest-memory {option}"{folder / name}"')
            assert answer == "", answer
            (folder / name).chmod(0o600)
    if "raw" in formats:
        _raw(stopped, files["raw"], below)
    if "zlib" in formats:
        plain = folder / "zlib"
        with (folder / "zlib_flattened").open("rb") as source:
            # The judge of the flattened form is its own tool.
            subprocess.run(["makedumpfile", "-R", plain], stdin=source, capture_output=True, check=True)
        head, pages = pages_of_kdump(plain.read_bytes())
        for codec in ("lzo", "snappy", "zstd"):
            data = kdump(head, pages, codec)
            (folder / codec).write_bytes(data)
            (folder / f"{codec}_flattened").write_bytes(flattened(data))
    if "small" in formats:
        stopped.gdb.console(f"coronel save {files['small']}", 60)
    if "small_of_elf" in formats:
        words = ["save", files["small_of_elf"], "--dump", files["elf"], "--kernel", KERNEL_ELF]
        with redirect_stdout(StringIO()):
            assert main(list(map(str, words))) == 0
    return files


def _raw(stopped: Stopped, path: Path, below: int | None) -> None:
    """All RAM, with a hole of the file where the machine has one: from `below` to 4 GiB."""
    monitor = stopped.machine.monitor
    size = int(monitor("info memory_size_summary").split("base memory: ")[1].split()[0])
    pieces = [(0, size)] if below is None else [(0, below), (4 << 30, size - below)]
    with path.open("wb") as file:
        for start, size_bytes in pieces:
            piece = path.with_suffix(".piece")
            monitor(f'pmemsave {start:#x} {size_bytes:#x} "{piece}"')
            file.seek(start)
            file.write(piece.read_bytes())
            piece.unlink()
