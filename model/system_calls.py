"""System calls: what a process may ask for (docs/spec.md §15.1)."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from model.events import Journal, Listener, Part, discard
from model.process import Process, ProcessState
from model.types import U64_MASK

REFUSED: Final = U64_MASK  # -1
MOST_WRITTEN_BYTES: Final = 4096
_NEWLINE: Final = 0x0A
_PRINTABLE: Final = range(0x20, 0x7F)


@dataclass(slots=True)
class SystemCalls:
    """The functions `sys_…` of the kernel; `serial` is what processes have written."""

    journal: Journal
    serial: bytearray = field(default_factory=bytearray)

    @staticmethod
    def of(process_journal: Journal, listener: Listener = discard) -> "SystemCalls":
        """The system calls of the machine whose processes report to `process_journal`."""
        return SystemCalls(Journal(Part.SYSTEM_CALL, process_journal.memory, None, listener))

    def call(self, process: Process, number: int, first: int = 0, second: int = 0, third: int = 0) -> int:
        """What `syscall` gives in rax for rax, rdi, rsi, rdx (§15.1)."""
        calls: dict[int, Callable[[], int]] = {
            0: lambda: self.sys_exit(process, first),
            1: lambda: self.sys_write(process, first, second),
            2: lambda: self.sys_yield(process),
            3: lambda: self.sys_pause(process),
            4: lambda: self.sys_malloc(process, first),
            5: lambda: self.sys_free(process, first),
            6: lambda: self.sys_realloc(process, first, second),
            7: lambda: self.sys_calloc(process, first, second),
            8: lambda: self.sys_brk(process, first),
            9: lambda: self.sys_mmap(process, first, second, third),
            10: lambda: self.sys_munmap(process, first, second),
        }
        made = calls.get(number & U64_MASK)
        return made() if made is not None else REFUSED

    def sys_exit(self, process: Process, code: int) -> int:
        """End: the process is destroyed by who runs it (§14.6)."""
        process.fields.set("exit_code", code & U64_MASK)
        process.fields.set("state", ProcessState.ENDED)
        return self._conclude("sys_exit", (code,), 0)

    def sys_write(self, process: Process, pointer: int, length_bytes: int) -> int:
        """Write to the serial line; how much of it (§15.1)."""
        pointer, length_bytes = pointer & U64_MASK, length_bytes & U64_MASK
        result = REFUSED
        if process.memory.validate_user_pointer(pointer, length_bytes, write=False):
            result = min(length_bytes, MOST_WRITTEN_BYTES)
            written = process.memory.user.read(pointer, result) or b""
            self.serial += bytes(
                byte if byte in _PRINTABLE or byte == _NEWLINE else ord(".") for byte in written
            )
        return self._conclude("sys_write", (pointer, length_bytes), result)

    def sys_yield(self, process: Process) -> int:
        """Let the others run (§14.7)."""
        return self._conclude("sys_yield", (), 0)

    def sys_pause(self, process: Process) -> int:
        """Wait until all processes pause (§14.7)."""
        process.fields.set("state", ProcessState.PAUSED)
        return self._conclude("sys_pause", (), 0)

    def sys_malloc(self, process: Process, size_bytes: int) -> int:
        """Memory from the process's heap, or 0 (§15.3)."""
        return self._conclude("sys_malloc", (size_bytes,), process.memory.heap.malloc(size_bytes))

    def sys_free(self, process: Process, pointer: int) -> int:
        """Give memory back (§15.3)."""
        return self._conclude("sys_free", (pointer,), 0 if process.memory.heap.free(pointer) else REFUSED)

    def sys_realloc(self, process: Process, pointer: int, size_bytes: int) -> int:
        """Another size for memory, or 0 (§15.3)."""
        result = process.memory.heap.realloc(pointer, size_bytes)
        return self._conclude("sys_realloc", (pointer, size_bytes), result)

    def sys_calloc(self, process: Process, count: int, size_bytes: int) -> int:
        """Zeroed memory, or 0 (§15.3)."""
        return self._conclude(
            "sys_calloc", (count, size_bytes), process.memory.heap.calloc(count, size_bytes)
        )

    def sys_brk(self, process: Process, address: int) -> int:
        """Where the heap ends, moved before if it may be (§15.4)."""
        return self._conclude("sys_brk", (address,), process.memory.heap.brk(address))

    def sys_mmap(self, process: Process, address: int, length_bytes: int, protection: int) -> int:
        """Zeroed pages, or 0 (§15.5)."""
        result = process.memory.mmap(address, length_bytes, protection)
        return self._conclude("sys_mmap", (address, length_bytes, protection), result)

    def sys_munmap(self, process: Process, address: int, length_bytes: int) -> int:
        """Give pages back (§15.5)."""
        result = 0 if process.memory.munmap(address, length_bytes) else REFUSED
        return self._conclude("sys_munmap", (address, length_bytes), result)

    def _conclude(self, operation: str, arguments: tuple[int, ...], result: int) -> int:
        return self.journal.conclude(operation, tuple(value & U64_MASK for value in arguments), result)
