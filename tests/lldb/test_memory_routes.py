"""Every route to physical memory gives the same report in LLDB too; two guests are never mixed up."""

import json
import socket
from pathlib import Path

from lab.lldb import Lldb
from lab.machine import Machine
from lab.paths import BOOT_ELF, KERNEL_ELF
from lab.scenarios import Scenario
from tests.conformance.stops import Stop, standing
from tests.gdb.test_memory_routes import relay

MIXED = Stop("mixed", Scenario("mixed", "scenario=mixed seed=3 ops=400"))


def reports(lldb: Lldb) -> list[object]:
    return [json.loads(lldb.console(f"{command} --json")) for command in ("heapcheck", "frames", "pagewalk")]


def route(lldb: Lldb) -> str:
    return str(json.loads(lldb.console("coronel status --json"))["facts"]["memory"])


def test_the_stub_route_gives_the_same_reports(tmp_path: Path) -> None:
    with standing(MIXED) as stood:
        with relay(stood.machine.gdb_socket, tmp_path / "stub") as path, Lldb() as lldb:
            lldb.attach(path, KERNEL_ELF)
            assert route(lldb).startswith("physical, through the stub (slow): ")
            lldb.console("x/8gx g_kernel_heap")  # what LLDB keeps of before is neither used nor spoilt
            slow = reports(lldb)
            assert json.loads(lldb.console("pagewalk --cr3 0xfff000000 --json"))["exit_code"] == 2
            # The stub is left in the mode it was found in: this address is virtual again.
            assert "0xffffffff80400000: 0x0000" in lldb.console("x/2gx 0xffffffff80400000")
        with Lldb() as lldb:
            lldb.attach(stood.machine.gdb_socket, KERNEL_ELF)
            assert route(lldb) == f"physical, from the memory of QEMU (pid {stood.machine.pid}), 128 MiB"
            assert reports(lldb) == slow


def test_a_stub_on_a_tcp_port_is_found_too() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    extra = ["-gdb", f"tcp:127.0.0.1:{port}"]
    with Machine(BOOT_ELF, "scenario=boot", paused=True, extra=extra) as machine, Lldb() as lldb:
        lldb.console(f"target create {KERNEL_ELF}")
        lldb.console(f"gdb-remote {port}")
        assert f"from the memory of QEMU (pid {machine.pid})" in route(lldb)


def test_two_guests_in_one_lldb() -> None:
    """Both paused at reset, so their memory is equal: only where it lies in QEMU tells them apart."""
    with (
        Machine(BOOT_ELF, "scenario=boot", paused=True) as one,
        Machine(BOOT_ELF, "scenario=boot", paused=True) as other,
        Lldb() as lldb,
    ):
        for machine in (one, other):
            lldb.attach(machine.gdb_socket, KERNEL_ELF)
        for index, machine in ((0, one), (1, other)):
            lldb.console(f"target select {index}")
            assert f"from the memory of QEMU (pid {machine.pid})" in route(lldb)
