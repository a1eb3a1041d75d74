"""A QEMU without a debugger, paused or running, through its QMP socket. It is never stopped or changed."""

import re
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

from coronel_gdb.backends.kernel_file import KernelFile, OfKernelFile
from coronel_gdb.backends.qemu_memory import Monitor, ProcessMemory, RamMap, ram_map
from coronel_gdb.backends.qmp import Qmp
from coronel_gdb.errors import CoronelError, ReadFault, TargetError, UsageError
from coronel_gdb.protocols import PhysicalMemory
from model.types import PhysicalAddress

_REGISTER = re.compile(r"\b([A-Z][A-Z0-9]{1,4}) *= *([0-9a-f]{8}(?:[0-9a-f]{8})?)\b")
_WORDS = re.compile(r"0x([0-9a-f]{16})")
_XP_WORDS = 4096  # one answer of the monitor holds so many
_PROBE_BYTES = 64
_PROBES = 3
_RUNNING = "read without stopping it: a structure may be in the middle of a change"


class QemuTarget(OfKernelFile):
    """The machine behind a QMP socket. Registers are read once, so all that one command says agrees."""

    long_answers = True

    def __init__(self, qmp: Qmp, kernel: Path | None = None, *, cpu: int = 0, cr3: int | None = None) -> None:
        self._qmp = qmp
        self._cpu = cpu
        self._cr3 = cr3
        self._kernel = KernelFile(kernel, self)

    @cached_property
    def running(self) -> bool:
        """Whether the guest runs while it is read."""
        status = self._qmp.execute("query-status")
        return isinstance(status, dict) and bool(status.get("running"))

    def reread(self) -> bool:
        """Whether another reading may differ: the guest runs. Its registers are forgotten then."""
        if self.running:
            self.__dict__.pop("_registers", None)
        return self.running

    def remarks(self) -> list[tuple[str, str]]:
        """What every report on this target has to say: that the guest runs."""
        return [("running", _RUNNING)] if self.running else []

    @cached_property
    def memory(self) -> PhysicalMemory:
        """QEMU's own memory where that may be read and agrees with the monitor; else the monitor's."""
        ram = RamMap(ram_map(self._qmp.human))
        slow = MonitorMemory(self._qmp.human, ram)
        try:
            direct = ProcessMemory(self._qmp.pid, ram, self._qmp.human)
            for item in ram.ranges:
                _same_bytes(direct, slow, PhysicalAddress(item.start))
            return direct
        except CoronelError as error:
            slow.reason = str(error)
            return slow

    def register(self, name: str) -> int:
        """A register of the chosen CPU."""
        if name == "cr3" and self._cr3 is not None:
            return self._cr3
        if name not in self._registers:
            raise TargetError(f"QEMU shows no register {name}: is it an x86-64 machine?")
        return self._registers[name]

    @cached_property
    def _registers(self) -> dict[str, int]:
        try:
            text = self._qmp.human("info registers", self._cpu)
        except TargetError as error:
            raise UsageError(f"no CPU {self._cpu} in this machine: {error}") from error
        return {name.lower(): int(value, 16) for name, value in _REGISTER.findall(text)}

    def monitor(self, command: str) -> str:
        """What the monitor answers as seen from the chosen CPU."""
        return self._qmp.human(command, self._cpu)

    def facts(self) -> Sequence[tuple[str, str]]:
        """QEMU's version and what the guest does."""
        version = self._qmp.human("info version").strip()
        state = "running, not stopped for this" if self.running else "paused"
        return [
            ("target", f"QEMU {version}, {state}"),
            ("qmp", f"{self._qmp.path}, looking at CPU {self._cpu}"),
        ]


class MonitorMemory:
    """Physical memory by the monitor's `xp`: slow, but there whoever QEMU belongs to."""

    def __init__(self, monitor: Monitor, ram: RamMap) -> None:
        self._monitor = monitor
        self._ram = ram
        self.reason = ""

    def read(self, address: PhysicalAddress, size_bytes: int) -> bytes:
        """Exactly `size_bytes` bytes; `ReadFault` outside RAM and ROM, where `xp` would say zero."""
        return b"".join(self._words(at, size) for _, at, size in self._ram.pieces(address, size_bytes))

    def _words(self, address: int, size_bytes: int) -> bytes:
        first = address & -8
        parts = []
        for at in range(first, address + size_bytes, 8 * _XP_WORDS):
            count = min(_XP_WORDS, (address + size_bytes - at + 7) // 8)
            words = _WORDS.findall(self._monitor(f"xp /{count}gx {at:#x}"))
            if len(words) != count:
                raise ReadFault("physical", at, 8 * count, "QEMU's monitor does not show it")
            parts += [int(word, 16).to_bytes(8, "little") for word in words]
        return b"".join(parts)[address - first : address - first + size_bytes]

    def describe(self) -> str:
        """The route, and why it is not the fast one."""
        return f"physical, through QEMU's monitor (slow): {self.reason}"


def _same_bytes(direct: PhysicalMemory, slow: PhysicalMemory, address: PhysicalAddress) -> None:
    """Trust a process's memory only where the monitor shows the same; a guest that runs gets three tries."""
    for _ in range(_PROBES):
        if direct.read(address, _PROBE_BYTES) == slow.read(address, _PROBE_BYTES):
            return
    raise TargetError(f"the memory of the socket's owner and the monitor differ at {address:#x}")
