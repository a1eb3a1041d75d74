"""The model's side of a sequence: the same orders (docs/spec.md §16.4) on `model.machine.Machine`."""

import pickle
from collections.abc import Callable, Sequence
from typing import Final

from lab.executor import Executor
from lab.orders import Code, Order
from lab.programs import PROGRAMS
from model.address_space import IMAGE_END, WINDOW_BASE, ImageSymbols
from model.errors import CpuException, Stopped
from model.events import Event
from model.machine import Machine
from model.multiboot import parse
from model.page_tables import PageFlags
from model.process import Process
from model.program import Program, module_line
from model.program import parse as parse_program
from model.types import PAGE_BYTES, PhysicalAddress, VirtualAddress, align_down

_MULTIBOOT_INFORMATION: Final = 0x9500
"""Where QEMU's `-kernel` puts it; the comparison after boot would not hold were it elsewhere."""


Operation = Callable[[Machine, int, int, int, int], int]


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
        names = {name: executor.symbols[name] for name in _names()}
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
        """The results of a sequence; `ModelStopped` when the machine does not survive it."""
        results: list[int] = []
        for order in orders:
            try:
                results.append(self._execute(order.code, order.completed(results)))
            except Stopped as stop:
                raise ModelStopped(len(results), stop) from stop
        return results

    def _execute(self, code: Code, arguments: tuple[int, ...]) -> int:
        if code is not Code.PROCESS_CREATE:
            return int(_OPERATIONS[code](self.machine, *arguments))
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


def _names() -> list[str]:
    from model.address_space import PLAIN_IMAGE

    return [name for name in PLAIN_IMAGE.by_name() if name != "_end"]


def _nothing(_: object) -> int:
    """The result of an operation that gives none."""
    return 0


def _is_writable(machine: Machine, start: int, size_bytes: int) -> bool:
    """Whether the executor writes there: behind the image, below the windows, mapped (§16.4)."""
    if size_bytes == 0 or not IMAGE_END <= start < WINDOW_BASE or size_bytes > WINDOW_BASE - start:
        return False
    try:
        for page in range(align_down(start, PAGE_BYTES), start + size_bytes, PAGE_BYTES):
            frame = machine.memory.translate(VirtualAddress(page), write=True)
            if not machine.physical.contains(frame):
                return False
    except CpuException:
        return False
    return True


def _fill(machine: Machine, start: int, value: int, size_bytes: int, _: int) -> int:
    if not _is_writable(machine, start, size_bytes):
        return 0
    machine.memory.fill(VirtualAddress(start), size_bytes, value & 0xFF)
    return 1


def _store(machine: Machine, start: int, value: int, size_bytes: int, _: int) -> int:
    if size_bytes > 8 or not _is_writable(machine, start, size_bytes):
        return 0
    machine.memory.write(VirtualAddress(start), value.to_bytes(8, "little")[:size_bytes])
    return 1


def _map(m: Machine, directory: int, virtual: int, physical: int, flags: int) -> bool:
    return m.paging.map(directory, virtual, physical, PageFlags(flags % 16))


def _for_process(call: Callable[[Machine, Process, int, int, int], int]) -> Operation:
    """An operation for the live process at the first argument; 0 when there is none (§16.4)."""

    def operation(machine: Machine, address: int, b: int, c: int, d: int) -> int:
        process = next((one for one in machine.processes if one.address == address), None)
        return call(machine, process, b, c, d) if process is not None else 0

    return operation


def _user_store(_: Machine, process: Process, start: int, value: int, size_bytes: int) -> int:
    if size_bytes > 8 or not process.memory.validate_user_pointer(start, size_bytes, write=True):
        return 0
    return process.memory.user.write(start, value.to_bytes(8, "little")[:size_bytes])


_OPERATIONS: Final[dict[Code, Operation]] = {
    Code.PHYSICAL_ALLOC: lambda m, a, b, c, d: m.frames.alloc(),
    Code.PHYSICAL_FREE: lambda m, a, b, c, d: _nothing(m.frames.free(a)),
    Code.VIRT_ALLOC: lambda m, a, b, c, d: m.regions.alloc(a),
    Code.VIRT_ALLOC_AT: lambda m, a, b, c, d: m.regions.alloc_at(a, b),
    Code.VIRT_FREE: lambda m, a, b, c, d: _nothing(m.regions.free(a, b)),
    Code.PAGING_MAP: _map,
    Code.PAGING_UNMAP: lambda m, a, b, c, d: m.paging.unmap(a, b),
    Code.HEAP_MALLOC: lambda m, a, b, c, d: m.heap.malloc(a),
    Code.HEAP_FREE: lambda m, a, b, c, d: _nothing(m.heap.free(a)),
    Code.HEAP_REALLOC: lambda m, a, b, c, d: m.heap.realloc(a, b),
    Code.HEAP_CALLOC: lambda m, a, b, c, d: m.heap.calloc(a, b),
    Code.HEAP_ALIGNED_ALLOC: lambda m, a, b, c, d: m.heap.aligned_alloc(a, b),
    Code.PLACEMENT_KALLOC: lambda m, a, b, c, d: m.placement_kalloc(a, align=b != 0),
    Code.KALLOC: lambda m, a, b, c, d: m.kalloc(a),
    Code.KFREE: lambda m, a, b, c, d: _nothing(m.kfree(a)),
    Code.VALIDATE_HEAP: lambda m, a, b, c, d: m.heap.validate_heap(),
    Code.CREATE_PAGE_DIRECTORY: lambda m, a, b, c, d: m.paging.create_page_directory(),
    Code.CREATE_USER_PAGE_DIRECTORY: lambda m, a, b, c, d: m.paging.create_user_page_directory(),
    Code.MAPIO: lambda m, a, b, c, d: m.paging.mapio(a, b),
    Code.FILL: _fill,
    Code.STORE: _store,
    Code.PROCESS_DESTROY: _for_process(lambda m, p, b, c, d: _nothing(m.processes.destroy(p)) or 1),
    Code.SYS_MALLOC: _for_process(lambda m, p, b, c, d: m.system_calls.sys_malloc(p, b)),
    Code.SYS_FREE: _for_process(lambda m, p, b, c, d: m.system_calls.sys_free(p, b)),
    Code.SYS_REALLOC: _for_process(lambda m, p, b, c, d: m.system_calls.sys_realloc(p, b, c)),
    Code.SYS_CALLOC: _for_process(lambda m, p, b, c, d: m.system_calls.sys_calloc(p, b, c)),
    Code.SYS_BRK: _for_process(lambda m, p, b, c, d: m.system_calls.sys_brk(p, b)),
    Code.SYS_MMAP: _for_process(lambda m, p, b, c, d: m.system_calls.sys_mmap(p, b, c, d)),
    Code.SYS_MUNMAP: _for_process(lambda m, p, b, c, d: m.system_calls.sys_munmap(p, b, c)),
    Code.STACK_GROWTH: _for_process(lambda m, p, b, c, d: p.memory.grow_stack(b)),
    Code.USER_STORE: _for_process(_user_store),
    Code.USER_VALIDATE: _for_process(
        lambda m, p, b, c, d: p.memory.validate_user_pointer(b, c, write=d != 0)
    ),
}
