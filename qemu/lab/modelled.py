"""The model's side of a sequence: the same orders (docs/spec.md §16.4) on `model.machine.Machine`."""

import pickle
from collections.abc import Sequence
from typing import Final

from lab.executor import Executor
from lab.operations import OPERATIONS
from lab.orders import PROCESS_CODES, Code, Order
from lab.programs import PROGRAMS
from model.address_space import PLAIN_IMAGE, ImageSymbols
from model.errors import CpuException, Stopped
from model.events import Event
from model.layouts import HEAP_BLOCK, NODE, PROCESS
from model.machine import Machine
from model.multiboot import parse
from model.program import Program, module_line
from model.program import parse as parse_program
from model.types import PhysicalAddress, VirtualAddress

_MULTIBOOT_INFORMATION: Final = 0x9500
"""Where QEMU's `-kernel` puts it; the comparison after boot would not hold were it elsewhere."""


class ModelStopped(Exception):
    """The modelled machine is dead: `done` orders were done before."""

    def __init__(self, done: int, cause: Stopped) -> None:
        super().__init__(f"the model stops in order {done}: {cause}")
        self.done = done


class Lines:
    """A listener that keeps what the kernel would print."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def __call__(self, event: Event) -> None:
        """Note the event's line, if it has one."""
        if event.line is not None:
            self.lines.append(event.line)


class Modelled:
    """A model booted on the executor's machine, which goes back to that state on demand."""

    def __init__(self, executor: Executor) -> None:
        ram = executor.ram
        information = parse(ram.read, PhysicalAddress(_MULTIBOOT_INFORMATION))
        names = {name: executor.symbols[name] for name in PLAIN_IMAGE.by_name() if name != "_end"}
        machine = Machine.boot(
            information.memory_map,
            information.reserved,
            ImageSymbols.from_names(names),
            listener=Lines(),
        )
        # What firmware and boot loader left in frames that are free now: input, as the memory map is.
        touched = set(machine.physical.touched_pages())
        for page in ram.used_pages(machine.placement.end):
            if page not in touched and machine.physical.contains(page):
                machine.physical.write(PhysicalAddress(page), ram.base_page(page))
        self._programs = [_program(line) for line in executor.programs]
        self._booted = pickle.dumps(machine)
        self.reset()

    def reset(self) -> None:
        """Back to where it was after boot."""
        self.machine: Machine = pickle.loads(self._booted)

    @property
    def lines(self) -> list[str]:
        """What the kernel would have printed since the last reset."""
        listener = self.machine.heap.journal.listener
        assert isinstance(listener, Lines)
        return listener.lines

    def run(self, orders: Sequence[Order]) -> list[int]:
        """The results of a sequence; `ModelStopped` when the machine does not survive it.

        It ends early, with the order by which a live process's object was freed or written over: nothing
        checks these objects (the lock in one may be held for ever then), so that is as far as one can tell.
        """
        results: list[int] = []
        objects = self._objects()
        for order in orders:
            try:
                results.append(self._execute(order.code, order.completed(results)))
            except Stopped as stop:
                raise ModelStopped(len(results), stop) from stop
            if order.code in PROCESS_CODES:
                objects = self._objects()
            elif objects and objects != self._objects():
                break
        return results

    def _objects(self) -> dict[int, bytes]:
        """The live processes' objects and nodes of mmap, each with what its block's header says of it."""
        if self.machine.processes.next_pid == 1:
            return {}
        found: dict[int, bytes] = {}
        try:
            for process in self.machine.processes:
                found[process.address] = self._object(process.address, PROCESS.size_bytes)
                for region in process.memory.mappings.nodes.regions():
                    found[region.node] = self._object(region.node, NODE.size_bytes)
        except CpuException:
            found[0] = b"wild"
        return found

    def _object(self, address: int, size_bytes: int) -> bytes:
        """The bytes of an object, and size, state and magic of its block."""
        header = self.machine.memory.read(VirtualAddress(address - HEAP_BLOCK.size_bytes), 48)
        return header[:9] + header[32:40] + self.machine.memory.read(VirtualAddress(address), size_bytes)

    def _execute(self, code: Code, arguments: tuple[int, ...]) -> int:
        if code is not Code.PROCESS_CREATE:
            return int(OPERATIONS[code](self.machine, *arguments))
        if arguments[0] >= len(self._programs):
            process = self.machine.processes.create_object("executor")
        else:
            number, listener = arguments[0], self.machine.heap.journal.listener
            process = self.machine.processes.create(*self._programs[number])
            if process is None and isinstance(listener, Lines):
                listener.lines.append(f"coronel: module {number + 1}: out of memory")  # §14.1
        return process.address if process is not None else 0


def _program(line: str) -> tuple[Program, str, str]:
    """The program, name and arguments of a module's line."""
    name, _, words = line.partition(" ")
    program = parse_program((PROGRAMS / f"{name}.elf").read_bytes())
    assert isinstance(program, Program), program
    return program, *module_line(f"{PROGRAMS}/{name}.elf {words}")
