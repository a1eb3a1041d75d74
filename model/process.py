"""Processes: one object each, from creation to end (docs/spec.md §14.2, §14.6, §14.7)."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from model.address_space import ARGUMENTS, USER_STACK_END
from model.errors import ErrorKind, Refusal
from model.events import Journal, Listener, Part, discard
from model.frames import FrameAllocator
from model.heap import HeapAllocator
from model.layouts import PROCESS
from model.memory import VirtualMemory
from model.page_tables import PageTables
from model.process_memory import ProcessMemory
from model.program import Program
from model.structure import Structure
from model.types import VirtualAddress

STACK_BYTES: Final = 64 << 10  # §14.3: at the start
NAME_BYTES: Final = PROCESS.member("name").count
_ARGUMENT_BYTES: Final = USER_STACK_END - ARGUMENTS
_USER_CODE, _USER_DATA, _RFLAGS = 0x23, 0x1B, 2  # §14.2: selectors of ring 3


class ProcessState(IntEnum):
    """`coronel::process_state` (§14.2)."""

    READY = 0
    PAUSED = 1
    ENDED = 2


@dataclass(frozen=True, slots=True)
class Process:
    """The object `coronel::process` and the memory that belongs to it; it holds no value itself."""

    fields: Structure
    memory: ProcessMemory

    @property
    def address(self) -> VirtualAddress:
        """Where the object lies."""
        return self.fields.address

    @property
    def pid(self) -> int:
        """Its number, from 1."""
        return self.fields.get("pid")

    @property
    def state(self) -> int:
        """Its `ProcessState`, or what a damaged object holds there."""
        return self.fields.get("state")

    @property
    def exit_code(self) -> int:
        """What it gave to `exit`."""
        return self.fields.get("exit_code")

    @property
    def name(self) -> bytes:
        """Its module's name, up to the zero."""
        member = PROCESS.member("name")
        where = VirtualAddress(self.address + member.offset_bytes)
        return self.fields.memory.read(where, member.count).partition(b"\0")[0]

    @property
    def next(self) -> VirtualAddress:
        """The process that follows in the list."""
        return VirtualAddress(self.fields.get("next"))


@dataclass(slots=True)
class ProcessTable:
    """All processes (`g_process_list`); `next_pid` is the number of the next one, never used before."""

    memory: VirtualMemory
    paging: PageTables
    frames: FrameAllocator
    heap: HeapAllocator
    head: VirtualAddress
    journal: Journal
    next_pid: int = 1

    @staticmethod
    def of(
        paging: PageTables, frames: FrameAllocator, heap: HeapAllocator, listener: Listener = discard
    ) -> "ProcessTable":
        """The processes of a kernel image."""
        journal = Journal(Part.PROCESS, paging.memory, None, listener)
        return ProcessTable(paging.memory, paging, frames, heap, paging.image.process_list, journal)

    def __iter__(self) -> Iterator[Process]:
        """The live processes in order of pid, as the list has them; no more than were ever made."""
        address = VirtualAddress(self.memory.read_u64(self.head))
        for _ in range(self.next_pid - 1):
            if address == 0:
                return
            process = self.at(address)
            address = process.next
            yield process

    def at(self, address: VirtualAddress) -> Process:
        """The process whose object lies at `address`."""
        fields = Structure(self.memory, PROCESS, address)
        inner = fields.field_address("memory.page_directory_")
        memory = ProcessMemory.at(
            self.memory, inner, self.paging, self.frames, self.heap, self.journal.listener
        )
        return Process(fields, memory)

    def create(
        self, program: Program, name: str | bytes = b"", arguments: str | bytes = b""
    ) -> Process | None:
        """A process that will run `program`; None when memory does not suffice, with nothing left of it.

        `name` is the module's file name, `arguments` the rest of its line (`program.module_line`).
        """
        process = self.create_object(name)
        if process is None:
            return None
        if not self.load(process, program, arguments):
            self.destroy(process)
            return None
        return process

    def destroy(self, process: Process) -> None:
        """Take a process out of the list and give back all that it had (§14.6)."""
        pid = process.pid
        self._unlink(process)
        process.memory.cleanup_all()
        self.heap.free(process.address)
        self.journal.conclude("destroy", (pid,), 0)

    # §14.2 The two steps of a creation.

    def create_object(self, name: str | bytes) -> Process | None:
        """A process in the list, with a stack but without a program (§14.2a)."""
        pid = self.next_pid
        self.next_pid += 1  # §14.2: a number is used up whether or not there is memory
        outcome = self._create_object(
            pid, name if isinstance(name, bytes) else name.encode("latin-1", "replace")
        )
        address = self.journal.conclude("create", (pid,), outcome)
        return self.at(VirtualAddress(address)) if address else None

    def _create_object(self, pid: int, name: bytes) -> int | Refusal:
        address = self.heap.malloc(PROCESS.size_bytes)
        if address == 0:
            return Refusal(ErrorKind.OUT_OF_MEMORY, PROCESS.size_bytes)
        self.memory.fill(address, PROCESS.size_bytes)
        process = self.at(address)
        if not (process.memory.create() and process.memory.setup_stack(STACK_BYTES)):
            if process.memory.directory:
                process.memory.cleanup_all()
            self.heap.free(address)
            return Refusal(ErrorKind.OUT_OF_MEMORY, PROCESS.size_bytes)
        process.fields.set("pid", pid)
        where = VirtualAddress(address + PROCESS.member("name").offset_bytes)
        self.memory.write(where, name.partition(b"\0")[0][: NAME_BYTES - 1])
        last = None
        for last in self:
            if last.next == 0:
                break
        if last is None:
            self.memory.write_u64(self.head, address)
        else:
            last.fields.set("next", address)
        return address

    def load(self, process: Process, program: Program, arguments: str | bytes) -> bool:
        """Give a process its program, its arguments and its first registers (§14.2, §14.3)."""
        memory, code, data = process.memory, program.code, program.data
        if not memory.setup_memory_layout(code.start, code.size_bytes, data.start, data.size_bytes):
            return False
        memory.user.write(code.start, code.data)
        memory.user.write(data.start, data.data)
        raw = arguments if isinstance(arguments, bytes) else arguments.encode("latin-1", "replace")
        memory.user.write(ARGUMENTS, raw.partition(b"\0")[0][: _ARGUMENT_BYTES - 1] + b"\0")
        for register, value in (
            ("rdi", ARGUMENTS),
            ("rip", program.entry),
            ("cs", _USER_CODE),
            ("rflags", _RFLAGS),
            ("rsp", ARGUMENTS),
            ("ss", _USER_DATA),
        ):
            process.fields.set(f"context.{register}", value)
        return True

    def _unlink(self, process: Process) -> None:
        """Let the list go on behind a process; one that it does not hold is left alone."""
        before: Process | None = None
        for other in self:
            if other.address == process.address:
                if before is None:
                    self.memory.write_u64(self.head, process.next)
                else:
                    before.fields.set("next", process.next)
                return
            before = other
