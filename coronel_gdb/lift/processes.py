"""The processes of the kernel as records, in list order, each with what it says it has in its lower half."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from coronel_gdb.errors import KernelError, ReadFault
from coronel_gdb.lift.image import Image
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
    """The processes in list order, from `variable` on; `stop` is where following them ended (0: null)."""

    variable: VirtualAddress
    head: VirtualAddress
    processes: list[Process] = field(default_factory=list)
    stop: int = 0
    lost: str = ""
    """Why `stop` could not be read, where it lies in memory that the target does not have."""


def lift_processes(target: Target, space: AddressSpace, profile: ResolvedProfile) -> LiftedProcesses:
    """Read the whole list, bounded, each process once; an empty list is none.

    `KernelError` for a kernel without processes, `ReadFault` when the list's head cannot be read.
    """
    if "processes" in profile.lacks:
        return LiftedProcesses(VirtualAddress(0), VirtualAddress(0))
    if profile.processes is None:
        raise KernelError(f"no processes here: {profile.no_processes}")
    variable = target.symbol(profile.processes.head)
    if variable is None:
        raise KernelError(f"no processes here: the kernel has no symbol {profile.processes.head}")
    lifted = LiftedProcesses(variable, VirtualAddress(space.read_u64(variable)))
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
            lifted.lost = space.why_lost(VirtualAddress(at), size)
            break
        process = _process(VirtualAddress(at), data, profile.processes, profile)
        if not _is_one(process):
            lifted.stop = at
            break
        seen.add(at)
        lifted.processes.append(process)
        at = process.next
    return lifted


def unlisted(lifted: LiftedProcesses, image: Image, profile: ResolvedProfile) -> Iterator[tuple[int, int]]:
    """Address and pid of every process in a used block of the kernel heap that the list does not have."""
    layout, rules = profile.processes, profile.heap.rules
    if layout is None:
        return
    structure, header = layout.process, rules.header_bytes
    listed = {process.address for process in lifted.processes}
    mark = int(USER_STACK_END).to_bytes(structure.members["stack_end"].size_bytes, "little")
    for at in image.find(mark, image.start):
        address = at - structure.offset("stack_end")
        head = image.bytes_at(address - header, header)
        data = image.bytes_at(address, structure.size_bytes)
        if address in listed or head is None or data is None or not is_aligned(address, 16):
            continue
        block = profile.heap.block.decode(head)
        used = block["magic"] == rules.magic_used and structure.size_bytes <= block["size"]
        process = _process(VirtualAddress(address), data, layout, profile)
        if used and process.pid and _is_one(process):
            yield address, process.pid


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
