"""From a finding of `coronel watch-heap` back to the instruction: QEMU plays a recorded run backwards."""

import re
from collections.abc import Iterator

import pytest

from lab.gdbmi import Gdb
from lab.paths import GDB_SCRIPT, KERNEL_ELF
from lab.recorded import replayed
from lab.stopped import BOOT_SECONDS

DAMAGED_BETWEEN_CALLS = "scenario=mixed,overflow,mixed seed=42 ops=300"
SIZE_BYTES = 8
"""Of the field that is watched: the bug writes it byte by byte, so it is written that often."""


@pytest.fixture
def gdb() -> Iterator[Gdb]:
    with replayed(DAMAGED_BETWEEN_CALLS) as machine, Gdb(script=GDB_SCRIPT) as gdb:
        gdb.attach(machine.gdb_socket, KERNEL_ELF)
        gdb.run_to("coronel_checkpoint", BOOT_SECONDS)
        yield gdb


def back(gdb: Gdb) -> None:
    gdb.begin('-interpreter-exec console "reverse-continue"')
    gdb.wait_stopped(BOOT_SECONDS)


def line(gdb: Gdb) -> tuple[str, int]:
    """Source file and line of the instruction that comes next."""
    frame = gdb.mi("-stack-info-frame")["frame"]
    return frame["file"], int(frame["line"])


def test_watch_heap_and_reverse_lead_to_the_instruction(gdb: Gdb) -> None:
    gdb.console("coronel watch-heap --every 1")
    gdb.resume()
    gdb.wait_stopped(BOOT_SECONDS)
    told = gdb.console("info breakpoints")
    assert "the heap is damaged at call 9: malloc" in told
    assert "this target runs backwards: `reverse-continue` behind `watch` stops after the last write" in told
    found = re.search(r"^  next +(watch -l .*)$", told, re.M)
    assert found
    gdb.console(found[1])
    # What the kernel knows: file and line of its bug, where it wrote, and what was there before.
    file = gdb.console("output g_seeded_fault.file").partition('"')[2].rstrip('"')
    bug = (file, gdb.evaluate("g_seeded_fault.line"))
    victim = f"*(unsigned long *){gdb.evaluate('g_seeded_fault.address'):#x}"
    before = gdb.evaluate("*(unsigned long *)g_seeded_fault.original")
    written = gdb.evaluate("*(unsigned long *)g_seeded_fault.written")
    for count in reversed(range(SIZE_BYTES)):
        back(gdb)
        assert gdb.evaluate(victim) == mixture(before, written, count + 1)
        gdb.console("reverse-stepi")
        assert line(gdb) == bug
        assert gdb.evaluate(victim) == mixture(before, written, count)
    assert "kernel heap is sound" in gdb.console("heapcheck")
    gdb.console("stepi")
    gdb.console("heapcheck")
    assert gdb.evaluate("$coronel_exit") == 1


def mixture(before: int, written: int, count: int) -> int:
    """The field when so many of its bytes have been overwritten, the lowest first."""
    mask = (1 << 8 * count) - 1
    return written & mask | before & ~mask
