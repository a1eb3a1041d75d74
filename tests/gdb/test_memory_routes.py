"""Every route to physical memory gives the same report; outside RAM each one refuses."""

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from lab.gdbmi import Gdb
from lab.machine import Machine
from lab.paths import BOOT_ELF, GDB_SCRIPT, KERNEL_ELF
from lab.stopped import BOOT_SECONDS

APPEND = "scenario=mixed seed=3 ops=400"


def pump(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
    for end in (source, sink):
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


@contextmanager
def relay(stub: Path, path: Path) -> Iterator[Path]:
    """A socket that passes everything on: whoever holds it is not QEMU."""
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as outward:
        server.bind(str(path))
        server.listen(1)

        def serve() -> None:
            inward, _ = server.accept()
            outward.connect(str(stub))
            back = threading.Thread(target=pump, args=(outward, inward), daemon=True)
            back.start()
            pump(inward, outward)
            back.join()
            inward.close()

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield path
        thread.join(10)


def reports(gdb: Gdb) -> list[object]:
    return [json.loads(gdb.console(f"{command} --json")) for command in ("heapcheck", "frames", "pagewalk")]


def test_the_stub_route_gives_the_same_reports(tmp_path: Path) -> None:
    with Machine(BOOT_ELF, APPEND, paused=True) as machine:
        with relay(machine.gdb_socket, tmp_path / "stub") as path, Gdb(script=GDB_SCRIPT) as gdb:
            gdb.attach(path, KERNEL_ELF)
            gdb.run_to("coronel_checkpoint", BOOT_SECONDS)
            route = json.loads(gdb.console("coronel status --json"))["facts"]["memory"]
            assert route.startswith("physical, through the stub (slow): ")
            slow = reports(gdb)
            outside = json.loads(gdb.console("pagewalk --cr3 0xfff000000 --json"))
            assert outside["exit_code"] == 2
            # The stub is left in the mode it was found in: this address is virtual again.
            assert gdb.evaluate("*(unsigned long *)&g_kernel_heap->heap_start_") > 1 << 63
        with Gdb(script=GDB_SCRIPT) as gdb:
            gdb.attach(machine.gdb_socket, KERNEL_ELF)
            route = json.loads(gdb.console("coronel status --json"))["facts"]["memory"]
            assert route == f"physical, from the memory of QEMU (pid {machine.pid}), 128 MiB"
            assert reports(gdb) == slow


def test_a_stub_on_a_tcp_port_is_found_too() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    extra = ["-gdb", f"tcp:127.0.0.1:{port}"]
    with Machine(BOOT_ELF, APPEND, paused=True, extra=extra) as machine, Gdb(script=GDB_SCRIPT) as gdb:
        gdb.mi(f"-file-exec-and-symbols {KERNEL_ELF}")
        gdb.mi(f"-target-select remote localhost:{port}")
        route = json.loads(gdb.console("coronel status --json"))["facts"]["memory"]
        assert f"from the memory of QEMU (pid {machine.pid})" in route
