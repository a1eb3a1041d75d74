"""GDB's pager: a report can be left in the middle, and nothing else changes by that."""

from lab.paths import GDB_SCRIPT, KERNEL_ELF
from lab.scenarios import Scenario
from lab.stopped import MIXED_THEN_OVERFLOW
from tests.at_terminal import gdb_at_terminal
from tests.conformance.stops import Stop, standing

OVERFLOW = Stop("overflow", Scenario("overflow", MIXED_THEN_OVERFLOW), arrival=2)
ASKED = "--Type <RET> for more"


def test_a_report_is_left_in_the_middle() -> None:
    with standing(OVERFLOW) as stood:
        typed = (
            "set confirm off",
            f"file {KERNEL_ELF}",
            f"source {GDB_SCRIPT}",
            f"target remote {stood.machine.gdb_socket}",
            "set height 10",
            "set width 80",
        )
        terminal = gdb_at_terminal(typed)
        try:
            terminal.wait_for("(gdb)")
            terminal.type("heapcheck --blocks")
            terminal.wait_for("heapcheck: 1 finding in 192 blocks")
            terminal.wait_for(ASKED)
            terminal.type("q")
            terminal.wait_for("Quit")
            terminal.type("print $coronel_exit + 40")
            terminal.wait_for("= 41")
            terminal.type("heapcheck")
            terminal.wait_for(ASKED)
            terminal.type("c")
            terminal.wait_for("HEAP001")
            terminal.wait_for("next     watch -l")
            terminal.wait_for("(gdb)")
        finally:
            terminal.close()
        assert "paused" in stood.machine.monitor("info status")
