"""`coronel watch-heap`: the kernel stops where its heap is damaged first, and nowhere before."""

import re
import time

import pytest

from lab.errors import GdbCommandError
from lab.gdbmi import Gdb
from lab.machine import Machine
from lab.paths import BOOT_ELF, GDB_SCRIPT, KERNEL_ELF
from lab.scenarios import Scenario
from lab.stopped import BOOT_SECONDS, MIXED_THEN_OVERFLOW, Stopped, at_checkpoint
from tests.at_terminal import gdb_at_terminal
from tests.conformance.stops import Stop, standing

DAMAGED_BETWEEN_CALLS = "scenario=mixed,overflow,mixed seed=42 ops=300"
"""`mixed` ends at the checkpoint; `overflow` allocates eight times and damages, `mixed` allocates."""
SOUND = "scenario=mixed,mixed,mixed seed=42 ops=200"
TWO_CPUS = "scenario=smp,overflow,mixed seed=11 ops=60"
AT_MALLOC = "(unsigned long)$rip == (unsigned long)&'memory::heap::malloc'"


def test_it_stops_at_the_first_call_after_the_damage() -> None:
    with at_checkpoint(1, DAMAGED_BETWEEN_CALLS) as stopped:
        gdb = stopped.gdb
        assert "watch-heap: on, at every stop and every call" in gdb.console("coronel watch-heap --every 1")
        calls = gdb.evaluate("g_kernel_heap->num_allocations_")
        gdb.resume()
        gdb.wait_stopped(60)
        told = gdb.console("info breakpoints")  # what was said at the stop comes before it
        assert "the heap is damaged at call 9: malloc from memory::kalloc " in told
        assert "it was still sound at call 8: malloc from memory::kalloc " in told
        assert "HEAP001 block header overwritten" in told
        assert told.splitlines()[-1].startswith("No breakpoints")
        # GDB's and the kernel's own words: the ninth call is being entered, by `mixed`, after eight.
        assert gdb.evaluate(AT_MALLOC) == 1
        assert "coronel::run_mixed" in gdb.console("backtrace")
        assert gdb.evaluate("g_kernel_heap->num_allocations_") == calls + 8
        (finding,) = stopped.report("heapcheck", 1)["findings"]
        assert finding["code"] == "HEAP001"
        assert "was not on" in gdb.console("coronel watch-heap --off")


def test_at_every_stop_alone() -> None:
    with at_checkpoint(1, MIXED_THEN_OVERFLOW) as stopped:
        gdb = stopped.gdb
        gdb.console("coronel watch-heap")
        gdb.run("hbreak coronel_checkpoint")
        gdb.resume()
        gdb.wait_stopped(BOOT_SECONDS)
        told = gdb.console("info breakpoints")
        assert "the heap is damaged at this stop, 0 checks\nheapcheck: 1 finding" in told


def test_a_sound_heap_stops_nothing() -> None:
    with at_checkpoint(1, SOUND) as stopped:
        gdb = stopped.gdb
        gdb.console("coronel watch-heap --every 50")
        before = _calls(stopped)
        gdb.run_to("coronel_checkpoint", BOOT_SECONDS)
        # Some of the 200 operations are none, a `realloc` counts twice; the stop is a check, too.
        ended = re.fullmatch(r"watch-heap: ended: (\d) checks\n", gdb.console("coronel watch-heap --off"))
        assert ended
        assert 2 <= int(ended[1]) - 1 <= (_calls(stopped) - before) // 50 <= 8
        gdb.run_to("coronel_checkpoint", BOOT_SECONDS)
        assert "was not on" in gdb.console("coronel watch-heap --off")


def _calls(stopped: Stopped) -> int:
    """The kernel's own count of finished operations."""
    return stopped.gdb.evaluate("g_kernel_heap->num_allocations_ + g_kernel_heap->num_frees_")


def test_with_two_cpus_in_the_allocator() -> None:
    """Both allocate at once and nothing is wrong with that; the damage is told at the call behind it."""
    with Machine(BOOT_ELF, TWO_CPUS, paused=True, cpus=2) as machine, Gdb(script=GDB_SCRIPT) as gdb:
        gdb.attach(machine.gdb_socket, KERNEL_ELF)
        gdb.run_to("coronel::run_smp", BOOT_SECONDS)
        gdb.console("coronel watch-heap --every 1")
        gdb.resume()
        gdb.wait_stopped(100)
        told = gdb.console("info breakpoints")
        assert re.search(r"damaged at call \d+: malloc from .* coronel::run_mixed ", told)
        assert re.search(r"still sound at call \d+: malloc from .* coronel::run_overflow ", told)
        # The note comes before the bug; nothing was refused or damaged on the way there.
        assert gdb.evaluate("g_seeded_fault.kind == coronel::fault_kind::heap_overflow") == 1
        assert f"HEAP001 block header overwritten at {gdb.evaluate('g_seeded_fault.address'):#x}" in told


def test_ctrl_c_stops_the_kernel_and_the_watch_goes_on() -> None:
    """At a terminal; GDB alone forgets nearly every Ctrl-C that comes while a call is checked."""
    long = Stop("long", Scenario("long", "scenario=mixed,mixed seed=42 ops=20000"))
    with standing(long) as stood:
        typed = (
            f"file {KERNEL_ELF}",
            f"source {GDB_SCRIPT}",
            f"target remote {stood.machine.gdb_socket}",
            "set pagination off",
            "coronel watch-heap --every 1",
        )
        terminal = gdb_at_terminal(typed)
        try:
            terminal.wait_for("watch-heap: on, at every stop and every call")
            for _ in range(2):
                terminal.type("continue")
                terminal.wait_for("Continuing.")
                time.sleep(0.5)
                # While a call is checked watch-heap stops the kernel, between two calls GDB itself.
                terminal.interrupt_until("(gdb)")
            terminal.type("coronel watch-heap --off")
            terminal.wait_for("watch-heap: ended: ")
        finally:
            terminal.close()


@pytest.mark.parametrize("count", ["0", "-3", "x", "1.5", ""])
def test_a_wrong_count_is_refused(healthy: Stopped, count: str) -> None:
    with pytest.raises(GdbCommandError, match="watch-heap: "):
        healthy.gdb.console(f"coronel watch-heap --every {count}")


def test_a_damaged_heap_is_not_watched(corrupted: Stopped) -> None:
    text = corrupted.gdb.console("coronel watch-heap")
    assert text.startswith("watch-heap: not begun: 1 finding")
    assert corrupted.gdb.evaluate("$coronel_exit") == 1
    assert "was not on" in corrupted.gdb.console("coronel watch-heap --off")
