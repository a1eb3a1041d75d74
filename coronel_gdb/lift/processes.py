"""The processes of the kernel as records, in list order, each with what it says it has in its lower half."""

from dataclasses import dataclass, field

from coronel_gdb.errors import KernelError, ReadFault
from coronel_gdb.lift.regions import region_manager
from coronel_gdb.lift.space import AddressSpace
from coronel_gdb.profiles.schema import ProcessProfile, ResolvedProfile
from coronel_gdb.protocols import Target
from model.address_space import MMAP_END, MMAP_START, USER_HEAP_LIMIT, USER_STACK_END
from model.records import Process, ProcessMemory, UserHeap
from model.types import PAGE_BYTES, PhysicalAddress, VirtualAddress, is_aligned

_MOST_PROCESSES = 1 << 16  # a longer list is damage: nobody reads it, and no kernel runs it


@dataclass(slots=True)
class LiftedProcesses:
    """The processes in list order; `stop` is the pointer at which following them ended (0: null)."""

    head: VirtualAddress
    processes: list[Process] = field(default_factory=list)
    stop: int = 0


def lift_processes(target: Target, space: AddressSpace, profile: ResolvedProfile) -> LiftedProcesses:
    """Read the whole list, bounded, each process once; an empty list is none.

    `KernelError` for a kernel without processes, `ReadFault` when the list's head cannot be read.
    """
    if "processes" in profile.lacks:
        return LiftedProcesses(VirtualAddress(0))
    if profile.processes is None:
        raise KernelError(f"no processes here: {profile.no_processes}")
    variable = target.symbol(profile.processes.head)
    if variable is None:
        raise KernelError(f"no processes here: the kernel has no symbol {profile.processes.head}")
    lifted = LiftedProcesses(VirtualAddress(space.read_u64(variable)))
    size = profile.processes.process.size_bytes
    seen: set[int] = set()
    at = int(lifted.head)
    while at:
        if at in seen or len(seen) == _MOST_PROCESSES or not is_aligned(at, 8):
            lifted.stop = at
            break
        try:
            data = space.read(VirtualAddress(at), size)
        except ReadFault:
            lifted.stop = at
            break
        process = _process(VirtualAddress(at), data, profile.processes, profile)
        if not _is_one(process):
            lifted.stop = at
            break
        seen.add(at)
        lifted.processes.append(process)
        at = process.next
    return lifted


def _is_one(process: Process) -> bool:
    """Whether most of what every process has in common is there: one damaged field is no other object."""
    memory = process.memory
    signs = (
        process.state <= 2,
        is_aligned(process.next, 8),
        bool(memory.page_directory) and is_aligned(memory.page_directory, PAGE_BYTES),
        memory.heap.page_directory == memory.page_directory,
        memory.heap.heap_limit == USER_HEAP_LIMIT,
        (memory.mmap.start, memory.mmap.end) == (MMAP_START, MMAP_END),
        memory.stack_end == USER_STACK_END,
    )
    return 2 * sum(signs) > len(signs)


def _process(
    address: VirtualAddress, data: bytes, layout: ProcessProfile, profile: ResolvedProfile
) -> Process:
    structure = layout.process
    values = structure.decode(data)
    # `virt` lies whole inside the process; its manager's layout is the one of the regions.
    mmap = structure.offset("mmap_first") - profile.regions.manager.offset("first")
    manager = profile.regions.manager
    heap = UserHeap(
        address=VirtualAddress(address + structure.offset("heap_start")),
        heap_start=VirtualAddress(values["heap_start"]),
        heap_current=VirtualAddress(values["heap_current"]),
        heap_limit=VirtualAddress(values["heap_limit"]),
        first_block=VirtualAddress(values["heap_first_block"]),
        page_directory=PhysicalAddress(values["heap_page_directory"]),
        total_allocated=values["heap_total_allocated"],
        num_blocks=values["heap_num_blocks"],
        errors=structure.array(data, "heap_errors"),
        locked=values["heap_locked"],
    )
    memory = ProcessMemory(
        page_directory=PhysicalAddress(values["page_directory"]),
        code_start=VirtualAddress(values["code_start"]),
        code_end=VirtualAddress(values["code_end"]),
        data_start=VirtualAddress(values["data_start"]),
        data_end=VirtualAddress(values["data_end"]),
        stack_start=VirtualAddress(values["stack_start"]),
        stack_end=VirtualAddress(values["stack_end"]),
        heap=heap,
        mmap=region_manager(VirtualAddress(address + mmap), data[mmap : mmap + manager.size_bytes], manager),
    )
    return Process(
        address,
        values["pid"],
        values["state"],
        values["exit_code"],
        VirtualAddress(values["next"]),
        bytes(structure.array(data, "name")),
        memory,
    )
