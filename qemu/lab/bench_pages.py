"""Figures of `pagewalk` on a stopped Linux: all measured in one run, beside QEMU's own walk."""

import random
import re
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from coronel_gdb.backends.qemu_memory import ProcessMemory, RamMap, ram_map
from coronel_gdb.lift import whole
from coronel_gdb.lift.page_arrays import walk_pages_in_bulk
from coronel_gdb.lift.page_walker import walk_pages
from coronel_gdb.lift.pages import Pages
from coronel_gdb.lift.space import AddressSpace
from lab.demand import Demand, rows
from lab.errors import LabError
from lab.gdbmi import Gdb
from lab.linux import linux_guest
from lab.machine import Machine
from lab.paths import GDB_SCRIPT
from model.page_entry import PagingMode
from model.types import PhysicalAddress, VirtualAddress

ROUNDS = 7
MEMORIES = ("256M", "2G", "8G")
MEASURED = "2G"  # the guest that the demands are about
_SINGLE = 2000
_MONITOR_SECONDS = 60.0
# gdb-pt-dump, measured elsewhere: 1.7 to 1.9 s for 137,501 pages in 73,854 ranges.
_PT_DUMP_SECONDS, _PT_DUMP_PAGES, _PT_DUMP_RANGES = 1.8, 137_501, 73_854


@dataclass(frozen=True, slots=True)
class Walked:
    """What the walks of one guest took, in seconds."""

    memory: str
    pages: Pages
    info_mem: float
    plain: float
    arrays: float
    command: float
    single: float


def main(_arguments: Sequence[str] = ()) -> int:
    """These figures alone: `python -m lab bench_pages`."""
    page_walks()
    return 0


def page_walks() -> None:
    """Print what walks of guests of several sizes take, and how that stands to what is wished for."""
    print("\npagewalk on Debian's Linux, best of", ROUNDS)
    walks, demands = [], []
    for memory in MEMORIES:
        with linux_guest(memory=memory) as machine:
            walked = whole_space(machine, memory)
            walks.append(walked)
            if memory == MEASURED:
                demands = [*of_the_walk(walked), *in_gdb(machine, walked)]
    over_ram(walks)
    over_tables()
    print(f"\n  wished for (docs/pagewalk.md), on the guest of {MEASURED}")
    print("\n".join(rows(demands)))


def whole_space(machine: Machine, ram: str) -> Walked:
    """The walk in this process against QEMU's `info mem` over QMP."""
    print(f"\n  {ram} of RAM")
    qemu = best(lambda: machine.monitor("info mem"), rounds=3)
    cr3 = re.search(r"\bCR3=([0-9a-f]+)", machine.monitor("info registers"))
    assert cr3
    memory = ProcessMemory(machine.pid, RamMap(ram_map(machine.monitor)), machine.monitor)
    root = PhysicalAddress(int(cr3[1], 16) & ~0xFFF)

    def space() -> AddressSpace:
        return AddressSpace(memory, root, PagingMode(physical_bits=40))

    pages = walk_pages(space())
    print(f"    {pages.count:,} pages, {len(pages):,} ranges, {len(pages.tables):,} tables")
    row("QEMU info mem over QMP", qemu)

    def timed(name: str, decode: Callable[[AddressSpace], Pages]) -> float:
        seconds = best(lambda: decode(space()))
        row(f"whole space, {name}", seconds, f"{qemu / seconds:.1f} times faster")
        return seconds

    plain = timed("standard library", walk_pages)
    arrays = timed("numpy", walk_pages_in_bulk)
    command = timed("as the command chooses", whole.whole_space)
    one = single(space(), pages)
    print(f"    {'one address':<36}{1e6 * one:>9.1f} µs")
    return Walked(ram, pages, qemu, plain, arrays, command, one)


def of_the_walk(walked: Walked) -> list[Demand]:
    """What is wished for of the walk as a library."""
    return [
        Demand("whole space against `info mem`", 8, walked.info_mem / walked.command, "times", least=True),
        Demand("whole space without numpy", 150, 1000 * walked.plain, "ms"),
        Demand("one address", 20, 1e6 * walked.single, "µs"),
    ]


def single(space: AddressSpace, pages: Pages) -> float:
    """Seconds for one address, over addresses all over the space."""
    chosen = random.Random(1).choices(pages.starts, k=_SINGLE)
    addresses = [VirtualAddress(start + 8) for start in chosen]
    return best(lambda: [space.translate(address) for address in addresses]) / _SINGLE


def in_gdb(machine: Machine, walked: Walked) -> list[Demand]:
    """The commands with all their output in GDB, against `monitor info mem` there."""
    timing = "python import time; t = time.perf_counter(); n = len(gdb.execute({!r}, to_string=True))"
    with Gdb(script=GDB_SCRIPT, timeout_seconds=_MONITOR_SECONDS) as gdb:
        gdb.mi(f"-target-select remote {machine.gdb_socket}")

        def seconds(command: str, rounds: int) -> list[float]:
            line = timing.format(command) + "; print(time.perf_counter() - t)"
            return [float(gdb.console(line)) for _ in range(rounds)]

        first, *again = seconds("pagewalk $rip", 1 + 3 * ROUNDS)
        one = statistics.median(again)
        row("in GDB: pagewalk ADDRESS", one, f"first {1000 * first:.0f} ms")
        before = _peak(gdb)
        listing = min(seconds("pagewalk", ROUNDS))
        grown = _peak(gdb) - before
        row("in GDB: pagewalk, all its output", listing, f"{grown} MiB more memory at its peak")
        folded = min(seconds("pagewalk --fold", ROUNDS))
        row("in GDB: pagewalk --fold", folded)
        more = ""
        try:
            (monitor,) = seconds("monitor info mem", 1)
        except LabError:
            monitor, more = _MONITOR_SECONDS, "no answer by then"
        row("in GDB: monitor info mem", monitor, more)
    pt_dump = _PT_DUMP_SECONDS / _PT_DUMP_PAGES * walked.pages.count
    by_rows = _PT_DUMP_SECONDS / _PT_DUMP_RANGES * len(walked.pages)
    rows = f"by ranges {by_rows / listing:.3g} times its {1000 * by_rows:.0f} ms"
    theirs = f"its {1000 * pt_dump:.0f} ms by pages; {rows}"
    return [
        Demand(
            "command in GDB against `monitor info mem` there",
            1,
            monitor / listing,
            "times",
            least=True,
            remark=more,
        ),
        Demand(
            "command in GDB against gdb-pt-dump", 20, pt_dump / listing, "times", least=True, remark=theirs
        ),
        Demand(
            "the same with --fold",
            20,
            pt_dump / folded,
            "times",
            least=True,
            remark="each alias counted, not listed",
        ),
        Demand("command in GDB for one address", 2, 1000 * one, "ms"),
        Demand("memory of the command", 100, grown, "MiB"),
    ]


def row(what: str, seconds: float, remark: str = "") -> None:
    """Print one figure."""
    print(f"    {what:<36}{1000 * seconds:>9.2f} ms" + (f"   ({remark})" if remark else ""))


def over_ram(walks: Sequence[Walked]) -> None:
    """The same kernel with more RAM: what counts is how many tables it has and how often they are used."""
    print("\n  whole space over the size of RAM (Linux maps 65,536 pages of every guest again and again)")
    print(f"    {'RAM':>8}  {'tables':>8}  {'pages':>10}  {'standard library':>16}  {'numpy':>10}")
    for one in walks:
        shape = f"{one.memory:>8}  {len(one.pages.tables):>8,}  {one.pages.count:>10,}"
        print(f"    {shape}  {1000 * one.plain:>13.1f} ms  {1000 * one.arrays:>7.1f} ms")


def over_tables() -> None:
    """Both decoders over the number of tables, on tables made here: a straight line, and where numpy pays."""
    print("\n  whole space over the number of last-level tables (full, no two pages contiguous)")
    heads = f"{'standard library':>16}  {'a table':>8}  {'numpy':>10}  {'a table':>8}"
    print(f"    {'tables':>8}  {'pages':>10}  {heads}")
    for tables in (4, 32, 256, 1024, 4096):
        memory = MadeTables(tables)
        one = best(lambda memory=memory: walk_pages(memory.space()), rounds=3)  # type: ignore[misc]
        other = best(lambda memory=memory: walk_pages_in_bulk(memory.space()), rounds=3)  # type: ignore[misc]
        print(
            f"    {tables:>8,}  {512 * tables:>10,}  {1000 * one:>13.1f} ms  {1e6 * one / tables:>5.0f} µs"
            f"  {1000 * other:>7.1f} ms  {1e6 * other / tables:>5.0f} µs"
        )


class MadeTables:
    """A PML4, a PDPT, page directories and full page tables one after the other."""

    def __init__(self, tables: int) -> None:
        directories = -(-tables // 512)
        pages = [[0x2003], [(3 + index) << 12 | 3 for index in range(directories)]]
        first = 3 + directories
        below = [(first + index) << 12 | 3 for index in range(tables)]
        pages += [below[start : start + 512] for start in range(0, tables, 512)]
        leaves = b"".join(((index * 7 + 1) << 13 | 3).to_bytes(8, "little") for index in range(512))
        upper = b"".join(
            b"".join(entry.to_bytes(8, "little") for entry in page).ljust(4096, b"\0") for page in pages
        )
        self._data = bytes(4096) + upper + leaves * tables

    def read(self, address: PhysicalAddress, size_bytes: int) -> bytes:
        """The bytes there."""
        return self._data[address : address + size_bytes]

    def describe(self) -> str:
        """What it is."""
        return "tables made for a measurement"

    def space(self) -> AddressSpace:
        """The space, nothing read yet."""
        return AddressSpace(self, PhysicalAddress(0x1000), PagingMode(physical_bits=40))


def best(work: Callable[[], object], rounds: int = ROUNDS) -> float:
    """The shortest of some runs, in seconds."""
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


def _peak(gdb: Gdb) -> int:
    """GDB's peak memory, in MiB."""
    line = "python print([l for l in open('/proc/self/status') if l.startswith('VmHWM')][0].split()[1])"
    return int(gdb.console(line)) >> 10
