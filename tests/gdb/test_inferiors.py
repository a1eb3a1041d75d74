"""Two machines in one GDB, one of them with two CPUs: a command is about the selected inferior and thread."""

from collections.abc import Iterator

import pytest

from lab.gdbmi import Gdb
from lab.machine import Machine
from lab.paths import BOOT_ELF, GDB_SCRIPT, KERNEL_ELF
from lab.stopped import BOOT_SECONDS, MIXED_THEN_OVERFLOW
from tests.gdb.test_bad_input import refusal

OTHER = "scenario=smp seed=11 ops=500"


@pytest.fixture(scope="module")
def machines() -> Iterator[dict[str, Machine]]:
    with (
        Machine(BOOT_ELF, MIXED_THEN_OVERFLOW, paused=True) as one,
        Machine(BOOT_ELF, OTHER, paused=True, cpus=2) as two,
    ):
        yield {"1": one, "2": two}


@pytest.fixture(scope="module")
def gdb(machines: dict[str, Machine]) -> Iterator[Gdb]:
    """Inferior 1 stands behind the overflow, inferior 2 at the end of `smp`."""
    with Gdb(script=GDB_SCRIPT) as gdb:
        gdb.attach(machines["1"].gdb_socket, KERNEL_ELF)
        for _ in range(2):
            gdb.run_to("coronel_checkpoint", BOOT_SECONDS)
        gdb.console("add-inferior -no-connection")
        gdb.console("inferior 2")
        assert "no kernel loaded" in refusal(gdb, "heapcheck")
        gdb.console(f"file {KERNEL_ELF}")
        assert "no target: start QEMU" in refusal(gdb, "heapcheck")
        gdb.console(f"target remote {machines['2'].gdb_socket}")
        assert "no 64-bit paging yet" in refusal(gdb, "heapcheck")
        gdb.run_to("coronel_checkpoint", BOOT_SECONDS)
        yield gdb


def test_each_inferior_has_its_own_report(gdb: Gdb, machines: dict[str, Machine]) -> None:
    for _ in range(2):  # there and back: nothing is kept from the other one
        gdb.console("inferior 1")
        assert "HEAP001" in gdb.console("heapcheck")
        assert str(machines["1"].gdb_socket) in gdb.console("coronel status")
        assert f"(pid {machines['1'].pid})" in gdb.console("coronel status")
        gdb.console("inferior 2")
        assert "kernel heap is sound" in gdb.console("heapcheck")
        assert f"(pid {machines['2'].pid})" in gdb.console("coronel status")


def test_functions_are_about_the_selected_inferior(gdb: Gdb, machines: dict[str, Machine]) -> None:
    for number, machine in machines.items():
        gdb.console(f"inferior {number}")
        pointer = gdb.evaluate("(unsigned long)g_kernel_heap->first_block_")
        answer = machine.monitor(f"gva2gpa {pointer:#x}").split()[1]
        assert gdb.evaluate("$phys(g_kernel_heap->first_block_)") == int(answer, 16)


def test_registers_are_those_of_the_selected_cpu(gdb: Gdb) -> None:
    gdb.console("inferior 2")
    for thread in ("2.1", "2.2"):
        gdb.console(f"thread {thread}")
        assert gdb.console("pagewalk $rsp").startswith(f"pagewalk: {gdb.evaluate('(unsigned long)$rsp'):#x} ")
    gdb.console("thread 2.1")
