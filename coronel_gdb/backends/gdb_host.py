"""GDB as a host: memory and registers of a target behind QEMU's stub, symbols, and the commands.

Import this inside GDB only.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path

import gdb

from coronel_gdb.backends import refusals
from coronel_gdb.backends.gdb_console import printed
from coronel_gdb.backends.gdb_kept import KeptRoute
from coronel_gdb.backends.qemu_memory import RamMap, memory_map
from coronel_gdb.backends.stub_memory import StubMemory, fastest
from coronel_gdb.errors import TargetError
from coronel_gdb.protocols import PhysicalMemory
from model.types import VirtualAddress

_U64 = (1 << 64) - 1


class GdbTarget:
    """The current inferior, as long as it stays stopped: one object a command.

    `kept` is what outlives a command; without it, every command finds its route to memory anew.
    """

    long_answers = False

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
        stub = StubMemory(lambda text: _packet(connection, text), _read, ram)
        return fastest([connection.details or ""], stub, ram, monitor)

    def register(self, name: str) -> int:
        """A register of the selected thread's innermost frame."""
        require_stopped()
        try:
            value = gdb.newest_frame().read_register(name)
            return int(value.cast(gdb.lookup_type("unsigned long"))) & _U64
        except (gdb.error, ValueError) as error:
            raise refusals.no_register(name, str(error)) from error

    def symbol(self, name: str) -> VirtualAddress | None:
        """Address of a static symbol; `KernelError` is left to whoever needs the symbol."""
        try:
            return VirtualAddress(int(gdb.parse_and_eval(f"(unsigned long)&'{name}'")) & _U64)
        except gdb.error:
            return None

    def evaluate(self, expression: str) -> int:
        """An expression in the selected frame, pointers and integers alike; nothing is called or changed."""
        refusals.require_reading(expression)
        try:
            with _no_calls():
                value = gdb.parse_and_eval(expression)
            if value.type.strip_typedefs().code in (
                gdb.TYPE_CODE_STRUCT,
                gdb.TYPE_CODE_UNION,
                gdb.TYPE_CODE_ARRAY,
            ):
                value = value.address
            return int(value.cast(gdb.lookup_type("unsigned long"))) & _U64
        except (gdb.error, gdb.MemoryError, AttributeError, ValueError) as error:
            raise refusals.not_evaluated(expression, str(error)) from error

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


def require_stopped() -> "gdb.RemoteTargetConnection":
    """The remote connection of a stopped target; `TargetError` says what to do otherwise."""
    thread = gdb.selected_thread()
    connection = getattr(gdb.selected_inferior(), "connection", None)
    if thread is None or connection is None:
        raise refusals.no_target()
    if thread.is_running() and not _shows_registers():
        raise refusals.running()
    if not isinstance(connection, gdb.RemoteTargetConnection):
        raise refusals.no_stub(connection.type)
    return connection


def _shows_registers() -> bool:
    """Whether the CPU stands still although GDB calls it running, as at the condition of a breakpoint."""
    try:
        gdb.newest_frame()
    except gdb.error:
        return False
    return True


def monitor(command: str) -> str:
    """What QEMU's monitor answers through the stub; `TargetError` when there is none."""
    try:
        return printed(f"monitor {command}")
    except gdb.error as error:
        raise TargetError(f"the stub has no monitor: {error}") from error


def _packet(connection: "gdb.RemoteTargetConnection", text: str) -> str:
    """The stub's answer to a packet."""
    try:
        return bytes(connection.send_packet(text)).decode("latin-1")
    except gdb.error as error:
        raise TargetError(str(error)) from error


def _read(address: int, size_bytes: int) -> bytes:
    """What the stub shows at an address, in the mode it is in."""
    try:
        return bytes(gdb.selected_inferior().read_memory(address, size_bytes))
    except (gdb.error, gdb.MemoryError) as error:
        raise TargetError(str(error)) from error


@contextmanager
def _no_calls() -> Iterator[None]:
    """An expression that calls a function would run the guest: GDB is told to refuse."""
    saved = gdb.parameter("may-call-functions")
    gdb.execute("set may-call-functions off")
    try:
        yield
    finally:
        if saved:
            gdb.execute("set may-call-functions on")
