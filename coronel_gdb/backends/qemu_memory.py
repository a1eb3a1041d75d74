"""Guest physical memory of a QEMU on this machine, read straight from its process.

QEMU's monitor says once where RAM and ROM lie (`info mtree -f`) and where each range is mapped in QEMU
(`gpa2hva`); the bytes then come from /proc/PID/mem at memory speed. Addresses outside RAM and ROM
are refused: QEMU's own routes would answer zeros there.
"""

import os
import re
import stat
from bisect import bisect_right
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from coronel_gdb.errors import ReadFault, TargetError
from model.types import PhysicalAddress

Monitor = Callable[[str], str]
"""A command of QEMU's human monitor → what it prints."""

_RANGE = re.compile(r"^\s*([0-9a-f]{16})-([0-9a-f]{16}) \(prio -?\d+, (ram|rom|romd|i/o)\): (\S+)", re.M)
_HOST = re.compile(r"is (0x[0-9a-f]+)")
_LISTENING_AND_OPEN = ("0A", "01")  # states of /proc/net/tcp


@dataclass(frozen=True, slots=True)
class RamRange:
    """Guest physical [start, end) that is backed by memory, as the monitor names it."""

    start: int
    end: int
    name: str
    kind: str = "RAM"


_KINDS = {"ram": "RAM", "rom": "ROM", "romd": "device", "i/o": "device"}


def ram_map(monitor: Monitor) -> list[RamRange]:
    """RAM and ROM of the guest in ascending order; `TargetError` when the monitor does not tell."""
    return [item for item in memory_map(monitor) if item.kind != "device"]


def memory_map(monitor: Monitor) -> list[RamRange]:
    """RAM, ROM and devices in ascending order; `TargetError` when the monitor does not tell."""
    text = monitor("info mtree -f")
    views = re.split(r"^FlatView #\d+\s*$", text, flags=re.M)
    system = [view for view in views if re.search(r'^\s*AS "memory", root: system', view, re.M)]
    found = [
        RamRange(int(start, 16), int(end, 16) + 1, name, _KINDS[kind])
        for start, end, kind, name in _RANGE.findall(system[0] if system else "")
    ]
    if not any(item.kind != "device" for item in found):
        raise TargetError(
            "no monitor answers `info mtree -f`, so the guest's RAM map is unknown: is the target a QEMU?"
        )
    return sorted(found, key=lambda ram: ram.start)


class RamMap:
    """Splits a read into the RAM ranges it touches and refuses what lies outside.

    Devices may be among the ranges given: they are never read, `lies_in` names them.
    """

    def __init__(self, everything: list[RamRange]) -> None:
        self.ranges = ranges = [item for item in everything if item.kind != "device"]
        self._everything = everything
        self._starts = [ram.start for ram in ranges]

    def lies_in(self, address: PhysicalAddress) -> str | None:
        """Kind and name of the range that holds an address, None when nothing is there."""
        for item in self._everything:
            if item.start <= address < item.end:
                return f"{item.kind} {item.name}"
        return None

    def pieces(self, address: PhysicalAddress, size_bytes: int) -> Iterator[tuple[int, int, int]]:
        """(index of the range, address, size) for each part; `ReadFault` for the first byte outside."""
        at, end = int(address), address + size_bytes
        while at < end:
            index = bisect_right(self._starts, at) - 1
            if index < 0 or at >= self.ranges[index].end:
                raise ReadFault("physical", at, end - at, "outside the machine's RAM and ROM")
            stop = min(end, self.ranges[index].end)
            yield index, at, stop - at
            at = stop


class ProcessMemory:
    """Reads through /proc/PID/mem of the QEMU process."""

    def __init__(self, pid: int, ram: RamMap, monitor: Monitor) -> None:
        self._ram = ram
        self._pid = pid
        self._hosts = [_host_address(monitor, item) for item in ram.ranges]
        try:
            self._file = os.open(f"/proc/{pid}/mem", os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise TargetError(f"/proc/{pid}/mem of QEMU: {error.strerror}") from error

    def __del__(self) -> None:
        if hasattr(self, "_file"):
            os.close(self._file)

    def read(self, address: PhysicalAddress, size_bytes: int) -> bytes:
        """Exactly `size_bytes` bytes; `ReadFault` outside RAM and ROM."""
        parts = []
        for index, at, size in self._ram.pieces(address, size_bytes):
            host = self._hosts[index] + at - self._ram.ranges[index].start
            try:
                part = os.pread(self._file, size, host)
            except OSError as error:
                raise ReadFault("physical", at, size, f"/proc/{self._pid}/mem: {error.strerror}") from error
            if len(part) != size:
                raise ReadFault("physical", at, size, f"/proc/{self._pid}/mem gave {len(part)} bytes")
            parts.append(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def lies_in(self, address: PhysicalAddress) -> str | None:
        """What QEMU has at an address."""
        return self._ram.lies_in(address)

    def describe(self) -> str:
        """The route, for `coronel status`."""
        total = sum(item.end - item.start for item in self._ram.ranges)
        return f"physical, from the memory of QEMU (pid {self._pid}), {total >> 20} MiB"


def _host_address(monitor: Monitor, ram: RamRange) -> int:
    answer = monitor(f"gpa2hva {ram.start:#x}")
    found = _HOST.search(answer)
    if found is None:
        raise TargetError(f"QEMU does not say where {ram.name} is mapped: {answer.strip() or 'no answer'}")
    return int(found[1], 16)


def find_qemu(connection: str) -> int:
    """Pid of the process at the other end of a stub connection, a socket path or `host:port`.

    Looked up by the socket itself, never by a process's name. `TargetError` says why none was found.
    """
    inodes = set(_socket_inodes(connection))
    if not inodes:
        raise TargetError(f"the stub {connection} is no socket of this machine")
    owners = [pid for pid in _pids() if pid != os.getpid() and inodes & set(_inodes_of(pid))]
    if len(owners) != 1:
        raise TargetError(f"{len(owners)} processes hold the stub's socket {connection}")
    return owners[0]


def own_connections() -> list[str]:
    """The other ends of this process's own sockets, as `find_qemu` takes them."""
    import socket  # here: only LLDB does not say what it is connected to

    found = []
    for link in _own_links():
        with suppress(OSError, ValueError), socket.socket(fileno=os.dup(link)) as own:
            peer = own.getpeername()
            if own.family == socket.AF_UNIX and peer:
                found.append(str(peer))
            elif own.family in (socket.AF_INET, socket.AF_INET6):
                found.append(f"{str(peer[0]).removeprefix('::ffff:')}:{peer[1]}")
    return list(dict.fromkeys(found))


def _own_links() -> list[int]:
    numbers = []
    for link in Path("/proc/self/fd").iterdir():
        with suppress(OSError):
            if str(link.readlink()).startswith("socket:["):
                numbers.append(int(link.name))
    return sorted(numbers)


def _socket_inodes(connection: str) -> Iterator[int]:
    path = Path(connection)
    if path.exists() and stat.S_ISSOCK(path.stat().st_mode):
        for line in _lines("/proc/net/unix"):
            fields = line.split()
            if len(fields) > 7 and fields[7] in (connection, str(path.resolve())):
                yield int(fields[6])
        return
    host, _, port = connection.removeprefix("tcp:").rpartition(":")
    if not port.isdigit() or host not in ("", "localhost", "127.0.0.1", "::1", "[::1]", "0.0.0.0"):
        return
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in _lines(table):
            fields = line.split()
            if int(fields[1].rpartition(":")[2], 16) == int(port) and fields[3] in _LISTENING_AND_OPEN:
                yield int(fields[9])


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text().splitlines()[1:]
    except OSError:
        return []


def _pids() -> Iterator[int]:
    return (int(name) for name in (path.name for path in Path("/proc").iterdir()) if name.isdigit())


def _inodes_of(pid: int) -> Iterator[int]:
    try:
        links = list(Path(f"/proc/{pid}/fd").iterdir())
    except OSError:
        return
    for link in links:
        try:
            end = str(link.readlink())
        except OSError:
            continue
        if end.startswith("socket:["):
            yield int(end[8:-1])
