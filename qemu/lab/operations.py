"""What each order means on the model (docs/spec.md §16.4)."""

from collections.abc import Callable
from typing import Final

from lab.orders import Code
from model.address_space import IMAGE_END, WINDOW_BASE
from model.errors import CpuException
from model.machine import Machine
from model.page_tables import PageFlags
from model.process import Process
from model.types import PAGE_BYTES, VirtualAddress, align_down

Operation = Callable[[Machine, int, int, int, int], int]


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


def _destroy(machine: Machine, process: Process, _: int, __: int, ___: int) -> int:
    machine.processes.destroy(process)
    return 1


def _user_store(_: Machine, process: Process, start: int, value: int, size_bytes: int) -> int:
    if size_bytes > 8 or not process.memory.validate_user_pointer(start, size_bytes, write=True):
        return 0
    return process.memory.user.write(start, value.to_bytes(8, "little")[:size_bytes])


OPERATIONS: Final[dict[Code, Operation]] = {
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
    Code.PROCESS_DESTROY: _for_process(_destroy),
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
"""Every order but `process create`, which needs the modules; arguments are the four of the order."""
