"""GDB as a host: memory and registers of a target behind QEMU's stub, symbols, and the commands.

Import this inside GDB only.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path

import gdb

from coronel_gdb.backends.gdb_kept import KeptRoute
from coronel_gdb.backends.qemu_memory import ProcessMemory, RamMap, find_qemu, memory_map
from coronel_gdb.errors import CoronelError, ReadFault, TargetError, UsageError
from coronel_gdb.protocols import PhysicalMemory
from model.types import PhysicalAddress, VirtualAddress

_U64 = (1 << 64) - 1
_PROBE_BYTES = 256


class GdbTarget:
    """The current inferior, as long as it stays stopped: one object a command.

    `kept` is what outlives a command; without it, every command finds its route to memory anew.
    """

    def __init__(self, kept: KeptRoute | None = None) -> None:
        self._kept = kept

    @cached_property
    def memory(self) -> PhysicalMemory:
        """The fastest route to physical memory that works here and agrees with the stub."""
        connection = require_stopped()
        if self._kept is None:
            return self._route(connection)
        return self._kept.route(connection, lambda: self._route(connection))

    def _route(self, connection: "gdb.RemoteTargetConnection") -> PhysicalMemory:
        ram = RamMap(memory_map(monitor))
        stub = StubMemory(connection, ram)
        try:
            direct = ProcessMemory(find_qemu(connection.details or ""), ram, monitor)
            _same_bytes(direct, stub, ram)
            return direct
        except (CoronelError, OSError) as error:
            stub.reason = str(error)
            return stub

    def register(self, name: str) -> int:
        """A register of the selected thread's innermost frame."""
        require_stopped()
        try:
            value = gdb.newest_frame().read_register(name)
            return int(value.cast(gdb.lookup_type("unsigned long"))) & _U64
        except (gdb.error, ValueError) as error:
            raise TargetError(
                f"the target has no register {name}: is it an x86-64 QEMU? ({error})"
            ) from error

    def symbol(self, name: str) -> VirtualAddress | None:
        """Address of a static symbol; `KernelError` is left to whoever needs the symbol."""
        try:
            return VirtualAddress(int(gdb.parse_and_eval(f"(unsigned long)&'{name}'")) & _U64)
        except gdb.error:
            return None

    def evaluate(self, expression: str) -> int:
        """An expression in the selected frame, pointers and integers alike."""
        try:
            value = gdb.parse_and_eval(expression)
            if value.type.strip_typedefs().code in (
                gdb.TYPE_CODE_STRUCT,
                gdb.TYPE_CODE_UNION,
                gdb.TYPE_CODE_ARRAY,
            ):
                value = value.address
            return int(value.cast(gdb.lookup_type("unsigned long"))) & _U64
        except (gdb.error, gdb.MemoryError, AttributeError, ValueError) as error:
            raise UsageError(f"cannot evaluate {expression}: {str(error).rstrip('.')}") from error

    def monitor(self, command: str) -> str:
        """What QEMU's monitor answers through the stub."""
        require_stopped()
        if self._kept is None:
            return monitor(command)
        return self._kept.answer(command, lambda: monitor(command))

    def kernel(self) -> Path | None:
        """The program's file."""
        name = gdb.current_progspace().filename
        return Path(name) if name else None

    def facts(self) -> Sequence[tuple[str, str]]:
        """GDB's version and its connection."""
        inferior = gdb.selected_inferior()
        connection = getattr(inferior, "connection", None)
        where = f"{connection.description} ({connection.details})" if connection else "none"
        return [("debugger", f"GDB {gdb.VERSION}"), ("target", where)]


class StubMemory:
    """Physical memory through the stub's own packet mode: slow, but there with every QEMU.

    The mode is state of the whole stub, so it is switched back after every read.
    """

    def __init__(self, connection: "gdb.RemoteTargetConnection", ram: RamMap) -> None:
        self._connection = connection
        self._ram = ram
        self.reason = ""

    def read(self, address: PhysicalAddress, size_bytes: int) -> bytes:
        """Exactly `size_bytes` bytes; `ReadFault` outside RAM and ROM, where the stub would say zero."""
        data = b""
        for _, at, size in self._ram.pieces(address, size_bytes):
            with self._physical_mode(at, size):
                data += bytes(gdb.selected_inferior().read_memory(at, size))
        return data

    def lies_in(self, address: PhysicalAddress) -> str | None:
        """What QEMU has at an address."""
        return self._ram.lies_in(address)

    def describe(self) -> str:
        """The route, and why it is not the fast one."""
        return f"physical, through the stub (slow): {self.reason}"

    @contextmanager
    def _physical_mode(self, address: int, size_bytes: int) -> Iterator[None]:
        try:
            if self._connection.send_packet("Qqemu.PhyMemMode:1") != b"OK":
                raise ReadFault("physical", address, size_bytes, "the stub has no physical memory mode")
            yield
        except gdb.error as error:
            raise ReadFault("physical", address, size_bytes, f"the stub: {error}") from error
        finally:
            self._connection.send_packet("Qqemu.PhyMemMode:0")


def require_stopped() -> "gdb.RemoteTargetConnection":
    """The remote connection of a stopped target; `TargetError` says what to do otherwise."""
    thread = gdb.selected_thread()
    connection = getattr(gdb.selected_inferior(), "connection", None)
    if thread is None or connection is None:
        raise TargetError("no target: start QEMU with a stub and `target remote` to it")
    if thread.is_running():
        raise TargetError("the target is running: stop it first (Ctrl-C or `interrupt`)")
    if not isinstance(connection, gdb.RemoteTargetConnection):
        raise TargetError(f"the target is `{connection.type}`, not a QEMU stub: `target remote` to one")
    return connection


def monitor(command: str) -> str:
    """What QEMU's monitor answers through the stub; `TargetError` when there is none."""
    try:
        return str(gdb.execute(f"monitor {command}", to_string=True))
    except gdb.error as error:
        raise TargetError(f"the stub has no monitor: {error}") from error


def _same_bytes(direct: PhysicalMemory, stub: PhysicalMemory, ram: RamMap) -> None:
    """Trust the other process's memory only where the stub shows the same bytes in every range."""
    for item in ram.ranges:
        address, size = PhysicalAddress(item.start), min(_PROBE_BYTES, item.end - item.start)
        if direct.read(address, size) != stub.read(address, size):
            raise TargetError(f"QEMU's memory and the stub differ at {address:#x}")
