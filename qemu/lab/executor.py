"""A kernel that does what it is told: the scenario `executor` (docs/spec.md §16.4) on shared RAM."""

import os
import signal
import struct
import time
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Final, Self

from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection

from lab.errors import LabError
from lab.machine import Machine
from lab.orders import MOST_ORDERS, Order, encode
from lab.paths import BOOT_ELF, KERNEL_ELF
from lab.programs import modules
from lab.shared_ram import SharedRam

KERNEL_BASE: Final = 0xFFFF_FFFF_8000_0000
BOOT_SECONDS: Final = 30.0
BATCH_SECONDS: Final = 4.0
"""Emulated, on a busy computer: what takes longer hangs."""
_POLL_SECONDS: Final = 0.00005
_LOOK_EVERY: Final = 200  # polls, between two looks at the serial line

# §16.4: the mailbox.
_MAILBOX_BYTES: Final = 32768
_HEADER: Final = struct.Struct("<4I2Q")
_ANSWER, _TICKS, _ORDERS = 4, 16, 64
_RESULTS: Final = _ORDERS + 48 * MOST_ORDERS


class KernelStopped(LabError):
    """The kernel reported an exception, or did not answer, in the order of the number `done`."""

    def __init__(self, done: int, line: str) -> None:
        super().__init__(line)
        self.done = done
        self.line = line


class Executor:
    """One booted kernel that waits for orders; use as a context manager.

    Between two calls its QEMU is stopped by SIGSTOP: a guest that polls would take a CPU of the computer.
    """

    def __init__(self, *, memory_mib: int = 8, programs: Sequence[str] = (), append: str = "trace=0") -> None:
        self.ram = SharedRam(memory_mib)
        self.symbols: Final = _symbols()
        self._append = f"scenario=executor {append}".strip()
        self.programs: Final = tuple(programs)
        self._cleanup = ExitStack()
        self._machine: Machine
        self._request = 0
        self._serial_bytes = 0
        self._mailbox = self.physical("coronel::g_mailbox")
        self.guest_seconds = 0.0
        """What the kernel itself has spent on orders."""

    def __enter__(self) -> Self:
        try:
            self._cleanup.enter_context(self.ram)
            self._boot()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End QEMU and remove the RAM's file."""
        self._cleanup.close()

    def physical(self, symbol: str) -> int:
        """The physical address of a symbol of the image (§1.1)."""
        return self.symbols[symbol] - KERNEL_BASE

    def run(self, orders: Sequence[Order]) -> list[int]:
        """Let the kernel do a sequence from where it stands; the results, one an order.

        `KernelStopped` when it does not come to the end; then only `reset()` helps.
        """
        assert len(orders) <= MOST_ORDERS
        self.ram.write(self._mailbox + _ORDERS, encode(orders))
        self._request = (self._request + 1) % (1 << 32)
        self.ram.write(
            self._mailbox, struct.pack("<4I", self._request, (self._request - 1) % (1 << 32), len(orders), 0)
        )
        os.kill(self._machine.pid, signal.SIGCONT)
        try:
            self._wait()
        finally:
            os.kill(self._machine.pid, signal.SIGSTOP)
        _, _, _, done, ticks, per_second = self._header()
        self.guest_seconds += ticks / per_second
        if done != len(orders):
            raise LabError(f"the kernel does not understand order {done}: {orders[done]}")
        return list(
            struct.unpack(f"<{done}Q", self.ram.read(self._mailbox + _RESULTS, 8 * done)),
        )

    def reset(self) -> None:
        """Put the memory back to what it was after boot; a kernel that has stopped is booted again."""
        if self._stopped:
            self._machine_cleanup.close()
            self._start()
        # After another boot too: what firmware leaves in free frames is not the same twice.
        self.ram.restore()

    def serial_lines(self) -> list[str]:
        """The lines the kernel has printed since the last call."""
        with self._machine.serial_log.open("rb") as log:
            log.seek(self._serial_bytes)
            data = log.read()
        self._serial_bytes += len(data)
        return data.decode(errors="replace").splitlines()

    def _boot(self) -> None:
        self._machine_cleanup = self._cleanup.enter_context(ExitStack())
        self._start()
        self.ram.take_base(range(self._mailbox, self._mailbox + _MAILBOX_BYTES))

    def _start(self) -> None:
        """Boot to the first wait for a request."""
        self.ram.write(0, bytes(self.ram.size_bytes))
        self._request, self._serial_bytes, self._stopped = 0, 0, False
        self._machine = self._machine_cleanup.enter_context(
            Machine(
                BOOT_ELF,
                self._append,
                memory=f"{self.ram.size_bytes >> 20}M",
                extra=[*self.ram.options, *modules(self.programs)],
            )
        )
        # A stopped process ends by no signal but SIGKILL.
        self._machine_cleanup.callback(os.kill, self._machine.pid, signal.SIGCONT)
        self._machine.wait_for_serial("coronel: ready", BOOT_SECONDS)
        self.run([])
        self.serial_lines()

    def _header(self) -> tuple[int, ...]:
        return _HEADER.unpack(self.ram.read(self._mailbox, _HEADER.size))

    def _wait(self) -> None:
        deadline, polls = time.monotonic() + BATCH_SECONDS, 0
        while self.ram.read(self._mailbox + _ANSWER, 4) != struct.pack("<I", self._request):
            time.sleep(_POLL_SECONDS)
            polls += 1
            if polls % _LOOK_EVERY == 0:
                self._look(late=time.monotonic() > deadline)

    def _look(self, *, late: bool) -> None:
        """Raise when no answer will come."""
        seen = self._machine.serial()[self._serial_bytes :]
        failed = [line for line in seen.splitlines() if line.startswith("coronel: exception ")]
        if failed or late:
            self._stopped = True
            raise KernelStopped(self._header()[3], failed[0] if failed else "no answer")


def _symbols() -> dict[str, int]:
    """The kernel's variables by their C++ names."""
    try:
        with KERNEL_ELF.open("rb") as file:
            table = ELFFile(file).get_section_by_name(".symtab")
            if isinstance(table, SymbolTableSection):
                return {_demangled(symbol.name): symbol["st_value"] for symbol in table.iter_symbols()}
    except OSError as error:
        raise LabError(f"no kernel at {KERNEL_ELF}: run `make kernel`") from error
    raise LabError(f"{KERNEL_ELF} has no symbols")


def _demangled(name: str) -> str:
    """`_ZN1a1bE` as `a::b`; every other name as it is (Itanium C++ ABI, 5.1.2)."""
    rest, parts = name.removeprefix("_ZN"), []
    if rest == name:
        return name
    while rest and rest[0].isdigit():
        digits = rest[: len(rest) - len(rest.lstrip("0123456789"))]
        end = len(digits) + int(digits)
        parts.append(rest[len(digits) : end])
        rest = rest[end:]
    return "::".join(parts) if rest == "E" else name
