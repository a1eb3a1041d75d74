"""The routes to the memory of a QEMU behind its stub, for any debugger: fast where it may be, else slow."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from coronel_gdb.backends.qemu_memory import Monitor, ProcessMemory, RamMap, find_qemu
from coronel_gdb.errors import CoronelError, ReadFault, TargetError
from coronel_gdb.protocols import PhysicalMemory
from model.types import PhysicalAddress

_PROBE_BYTES = 256


class StubMemory:
    """Physical memory through the stub's own packet mode: slow, but there with every QEMU.

    `packet` sends one and gives the answer; `read` reads so many bytes in whatever mode the stub is in; both
    raise `TargetError`. The mode is state of the whole stub, so it is switched back after every read.
    """

    def __init__(self, packet: Callable[[str], str], read: Callable[[int, int], bytes], ram: RamMap) -> None:
        self._packet = packet
        self._read = read
        self._ram = ram
        self.reason = ""

    def read(self, address: PhysicalAddress, size_bytes: int) -> bytes:
        """Exactly `size_bytes` bytes; `ReadFault` outside RAM and ROM, where the stub would say zero."""
        data = b""
        for _, at, size in self._ram.pieces(address, size_bytes):
            with self._physical_mode(at, size):
                data += self._read(at, size)
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
            if self._packet("Qqemu.PhyMemMode:1") != "OK":
                raise ReadFault("physical", address, size_bytes, "the stub has no physical memory mode")
            yield
        except TargetError as error:
            raise ReadFault("physical", address, size_bytes, f"the stub: {error}") from error
        finally:
            self._packet("Qqemu.PhyMemMode:0")


def fastest(connections: Iterable[str], stub: StubMemory, ram: RamMap, monitor: Monitor) -> PhysicalMemory:
    """The memory of the one QEMU among `connections` that agrees with the stub, or the stub's own route."""
    reasons, found = [], []
    for connection in connections:
        try:
            direct = ProcessMemory(find_qemu(connection), ram, monitor)
            _same_bytes(direct, stub, ram)
            found.append(direct)
        except (CoronelError, OSError) as error:
            reasons.append(str(error))
    if len(found) == 1:
        return found[0]
    if found:
        reasons = [f"{len(found)} processes look like the one behind this stub"]
    stub.reason = "; ".join(reasons) or "this debugger has no socket that leads to a QEMU"
    return stub


def _same_bytes(direct: PhysicalMemory, stub: PhysicalMemory, ram: RamMap) -> None:
    """Trust the other process's memory only where the stub shows the same bytes in every range."""
    for item in ram.ranges:
        address, size = PhysicalAddress(item.start), min(_PROBE_BYTES, item.end - item.start)
        if direct.read(address, size) != stub.read(address, size):
            raise TargetError(f"QEMU's memory and the stub differ at {address:#x}")
