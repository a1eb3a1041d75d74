"""Figures of `pagewalk` on a stopped Linux: all measured in one run, beside QEMU's own walk."""

import random
import re
import statistics
import time
from collections.abc import Callable

from coronel_gdb.backends.qemu_memory import ProcessMemory, RamMap, ram_map
from coronel_gdb.lift.page_arrays import walk_pages_in_bulk
from coronel_gdb.lift.page_walker import walk_pages
from coronel_gdb.lift.pages import Pages
from coronel_gdb.lift.space import AddressSpace
from lab.errors import LabError
from lab.gdbmi import Gdb
from lab.linux import linux_guest
from lab.machine import Machine
from lab.paths import GDB_SCRIPT
from model.page_entry import PagingMode
from model.types import PhysicalAddress, VirtualAddress

ROUNDS = 7
_SINGLE = 2000
_MONITOR_SECONDS = 60.0
# gdb-pt-dump, measured elsewhere: 1.7 to 1.9 s for 137,501 leaves.
_PT_DUMP_SECONDS_A_LEAF = 1.8 / 137_501


def page_walks() -> None:
    """Print what walks of guests of several sizes take."""
    print("\npagewalk on Debian's Linux, best of", ROUNDS)
    for memory in ("256M", "2G", "8G"):
        with linux_guest(memory=memory) as machine:
            print(f"\n  {memory} of RAM")
            whole_space(machine)
            if memory == "2G":
                in_gdb(machine)
    curve()


def whole_space(machine: Machine) -> None:
    """The walk in this process against QEMU's `info mem` over QMP."""
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
    for name, decode in (("standard library", walk_pages), ("numpy", walk_pages_in_bulk)):
        own = best(lambda decode=decode: decode(space()))  # type: ignore[misc]  # bound per round
        print(
            f"    {f'whole space, {name}':<34}{1000 * own:>9.1f} ms   {qemu / own:>6.1f} times faster; "
            f"{_PT_DUMP_SECONDS_A_LEAF * pages.count / own:.0f} times gdb-pt-dump's pace"
        )
    print(f"    {'one address':<34}{1e6 * single(space(), pages):>9.1f} µs")


def single(space: AddressSpace, pages: Pages) -> float:
    """Seconds for one address, over addresses all over the space."""
    chosen = random.Random(1).choices(pages.starts, k=_SINGLE)
    addresses = [VirtualAddress(start + 8) for start in chosen]
    return best(lambda: [space.translate(address) for address in addresses]) / _SINGLE


def in_gdb(machine: Machine) -> None:
    """The commands with all their output in GDB, against `monitor info mem` there."""
    timing = "python import time; t = time.perf_counter(); n = len(gdb.execute({!r}, to_string=True))"
    with Gdb(script=GDB_SCRIPT, timeout_seconds=_MONITOR_SECONDS) as gdb:
        gdb.mi(f"-target-select remote {machine.gdb_socket}")

        def seconds(command: str, rounds: int) -> list[float]:
            line = timing.format(command) + "; print(time.perf_counter() - t)"
            return [float(gdb.console(line)) for _ in range(rounds)]

        first, *again = seconds("pagewalk $rip", 1 + 3 * ROUNDS)
        row("in GDB: pagewalk ADDRESS", statistics.median(again), f"first {1000 * first:.0f} ms")
        before = _peak(gdb)
        whole = min(seconds("pagewalk", 3))
        row("in GDB: pagewalk, all its output", whole, f"{_peak(gdb) - before} MiB more memory at its peak")
        row("in GDB: pagewalk --fold", min(seconds("pagewalk --fold", 3)))
        try:
            (monitor,) = seconds("monitor info mem", 1)
            row("in GDB: monitor info mem", monitor, f"{monitor / whole:.0f} times as long")
        except LabError:
            print(f"    in GDB: monitor info mem has no answer within {_MONITOR_SECONDS:g} s")


def row(what: str, seconds: float, remark: str = "") -> None:
    """Print one figure."""
    print(f"    {what:<34}{1000 * seconds:>9.2f} ms" + (f"   ({remark})" if remark else ""))


def curve() -> None:
    """Both decoders over the number of tables, on tables made here: where numpy pays."""
    print("\n  whole space over the number of last-level tables (full, no two pages contiguous)")
    print(f"    {'tables':>8}  {'pages':>10}  {'standard library':>16}  {'numpy':>10}")
    for tables in (4, 32, 256, 1024, 4096):
        memory = MadeTables(tables)
        one = best(lambda memory=memory: walk_pages(memory.space()), rounds=3)  # type: ignore[misc]
        other = best(lambda memory=memory: walk_pages_in_bulk(memory.space()), rounds=3)  # type: ignore[misc]
        print(f"    {tables:>8,}  {512 * tables:>10,}  {1000 * one:>13.1f} ms  {1000 * other:>7.1f} ms")


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
