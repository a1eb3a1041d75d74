"""Stops of the kernel, each with every dump that can be taken of it."""

import json
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from typing import Any

from coronel_gdb.cli import main
from lab.paths import KERNEL_ELF
from lab.programs import modules
from lab.stopped import BOOT_SECONDS, MIXED_THEN_OVERFLOW, Stopped, at_checkpoint
from tests.dumps.writers import flattened, kdump, pages_of_kdump

CORES = ("elf", "elf_paging")
KDUMPS = tuple(f"{codec}{form}" for codec in ("zlib", "lzo", "snappy", "zstd") for form in ("", "_flattened"))
SMALL = ("small", "small_of_elf")
"""By `coronel save`: in GDB on the stopped machine, and of the ELF core."""
FORMATS = (*CORES, *KDUMPS, "raw", *SMALL)
FEWER = (*CORES, "zlib_flattened", "raw", "small")
"""For stops that differ in what there is to find, not in how it lies in a file."""


@dataclass(frozen=True)
class Stop:
    """Where the kernel is stopped: a checkpoint, or a function that is reached after it."""

    name: str
    append: str
    checkpoint: int = 1
    function: str = ""
    options: dict[str, Any] = field(default_factory=lambda: {"memory": "32M"})
    formats: Sequence[str] = FORMATS
    unlisted: Sequence[str] = ()
    """Commands that are left out here, because they take long."""


_TWO = modules(["pause a", "pause b"])
# Half of the RAM below a hole that ends at 4 GiB, in memory of two NUMA nodes.
_SPLIT = [
    "-machine", "pc,max-ram-below-4g=64M",
    "-object", "memory-backend-ram,id=one,size=48M", "-object", "memory-backend-ram,id=two,size=80M",
    "-numa", "node,memdev=one", "-numa", "node,memdev=two",
]  # fmt: skip
STOPS = [
    Stop("boot", "scenario=boot", formats=FEWER),
    Stop("mixed", MIXED_THEN_OVERFLOW, formats=FEWER),
    Stop("overflow", MIXED_THEN_OVERFLOW, 2, options={}),
    Stop("cyclic_list", "scenario=mixed,cyclic_list seed=3 ops=300", 2, formats=FEWER),
    Stop("use_after_free", "scenario=use_after_free", formats=FEWER),
    Stop("region_overlap", "scenario=region_overlap", formats=FEWER),
    # A dump does not say MAXPHYADDR, so reserved address bits are address bits in it; a small one does.
    Stop("pte_scribble", "scenario=region_overlap,pte_scribble", 2, formats=("small",)),
    Stop("kernel_user_bit", "scenario=mixed,kernel_user_bit seed=9 ops=300", 2, formats=FEWER),
    Stop("processes", "scenario=processes", options={"memory": "32M", "extra": _TWO}, formats=FEWER),
    Stop("in_a_process", "scenario=processes", 1, "sys_write", {"memory": "32M", "extra": _TWO}, FEWER),
    Stop("two_cpus", "scenario=smp seed=11 ops=500", options={"memory": "32M", "cpus": 2}, formats=FEWER),
    Stop(
        "split_ram",
        "scenario=mixed,overflow seed=42 ops=500",
        2,
        options={"extra": _SPLIT},
        formats=("elf", "elf_paging", "zlib_flattened", "zstd", *SMALL),
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
    with at_checkpoint(stop.checkpoint, stop.append, **stop.options) as stopped:
        if stop.function:
            stopped.gdb.run_to(stop.function, BOOT_SECONDS)
        cpu = stopped.gdb.evaluate("$_thread") - 1
        yield Taken(stop, stopped, take(stopped, folder, stop.formats), cpu)
    for path in folder.iterdir():
        path.unlink()


def take(stopped: Stopped, folder: Path, formats: Sequence[str]) -> dict[str, Path]:
    """The dumps of a stopped machine; those that its QEMU was built without are made of the one in zlib."""
    files = {name: folder / name for name in (*formats, "elf")}
    monitor = stopped.machine.monitor
    for name, option in (("elf", ""), ("elf_paging", "-p "), ("zlib_flattened", "-z ")):
        answer = monitor(f'dump-guest-memory {option}"{folder / name}"')
        assert answer == "", answer
        (folder / name).chmod(0o600)
    if "raw" in formats:
        size = int(monitor("info memory_size_summary").split("base memory: ")[1].split()[0])
        monitor(f'pmemsave 0 {size} "{files["raw"]}"')
    plain = folder / "zlib"
    with (folder / "zlib_flattened").open("rb") as source:
        # The judge of the flattened form is its own tool.
        subprocess.run(["makedumpfile", "-R", plain], stdin=source, capture_output=True, check=True)
    head, pages = pages_of_kdump(plain.read_bytes())
    for codec in ("lzo", "snappy", "zstd"):
        if codec in formats or f"{codec}_flattened" in formats:
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
