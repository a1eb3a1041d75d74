"""A simulated machine with processes, built byte by byte from docs/spec.md §14."""

from dataclasses import dataclass, field

from coronel_gdb.backends.memory_host import MachineTarget
from coronel_gdb.commands.command import Context
from model.layouts import HEAP_BLOCK, NODE, PROCESS
from model.machine import Machine
from model.multiboot import MapEntry
from model.page_tables import PageFlags
from model.records import HeapRules
from model.structure import Structure
from model.types import PAGE_BYTES, PhysicalAddress, VirtualAddress

CODE, DATA, HEAP, MMAP, STACK = 0x40_0000, 0x40_1000, 0x800_0000, 0x4000_0000, 0x7FFF_0000
HEAP_BYTES, HEAP_LIMIT, MMAP_END, STACK_END = 0x1_0000, 0x4000_0000, 0x7000_0000, 0x8000_0000
RULES = HeapRules()


class TargetWithProcesses(MachineTarget):
    """The simulated machine with the symbol that the model's image lacks."""

    def __init__(self, machine: Machine, list_symbol: VirtualAddress) -> None:
        super().__init__(machine)
        self._list = list_symbol

    def symbol(self, name: str) -> VirtualAddress | None:
        """As the machine says, and the head of the list of processes."""
        return self._list if name == "g_process_list" else super().symbol(name)


@dataclass
class UserSide:
    """A machine, its processes as structures in kernel memory, and the variable with the list's head."""

    machine: Machine
    head: VirtualAddress
    processes: list[Structure] = field(default_factory=list)

    def context(self) -> Context:
        """A fresh context, as every command gets one."""
        return Context(TargetWithProcesses(self.machine, self.head))

    def add(self, name: str) -> Structure:
        """One more paused process: code, data, one heap region with two blocks, one mmap page, a stack."""
        machine = self.machine
        process = Structure(machine.memory, PROCESS, machine.kalloc(PROCESS.size_bytes))
        machine.memory.write(process.address, bytes(PROCESS.size_bytes))
        directory = machine.paging.create_user_page_directory()
        values = {
            "pid": len(self.processes) + 1,
            "state": 1,
            "memory.page_directory_": directory,
            "memory.code_start_": CODE,
            "memory.code_end_": CODE + PAGE_BYTES,
            "memory.data_start_": DATA,
            "memory.data_end_": DATA + PAGE_BYTES,
            "memory.stack_start_": STACK,
            "memory.stack_end_": STACK_END,
            "memory.heap_.heap_start_": HEAP,
            "memory.heap_.heap_current_": HEAP + HEAP_BYTES,
            "memory.heap_.heap_limit_": HEAP_LIMIT,
            "memory.heap_.first_block_": HEAP,
            "memory.heap_.page_directory_": directory,
            "memory.heap_.total_allocated_": 112,
            "memory.heap_.num_blocks_": 2,
            "memory.mmap_.free_mem_list_.count_": 1,
            "memory.mmap_.start_": MMAP,
            "memory.mmap_.end_": MMAP_END,
            "memory.mmap_.nodes_from_": 1,
        }
        for key, value in values.items():
            process.set(key, value)
        machine.memory.write(VirtualAddress(process.address + 288), name.encode()[:15])
        self._map(directory, CODE, PAGE_BYTES, PageFlags.USER | PageFlags.EXECUTE)
        for start, size in (
            (DATA, PAGE_BYTES),
            (HEAP, HEAP_BYTES),
            (MMAP, PAGE_BYTES),
            (STACK, STACK_END - STACK),
        ):
            self._map(directory, start, size, PageFlags.USER | PageFlags.WRITE)
        node = Structure(machine.memory, NODE, machine.kalloc(NODE.size_bytes))
        for key, value in {
            "start": MMAP + PAGE_BYTES,
            "size": MMAP_END - MMAP - PAGE_BYTES,
            "next": 0,
            "prev": 0,
        }.items():
            node.set(key, value)
        process.set("memory.mmap_.free_mem_list_.first_", node.address)
        process.set("memory.mmap_.free_mem_list_.last_", node.address)
        second = HEAP + HEAP_BLOCK.size_bytes + 112
        self._block(directory, HEAP, 112, (0, RULES.magic_used), second, 0)
        rest = HEAP + HEAP_BYTES - second - HEAP_BLOCK.size_bytes
        self._block(directory, second, rest, (1, RULES.magic_free), 0, HEAP)
        if self.processes:
            self.processes[-1].set("next", process.address)
        else:
            machine.memory.write_u64(self.head, process.address)
        self.processes.append(process)
        return process

    def physical(self, process: Structure, virtual: int) -> PhysicalAddress:
        """Where the process has that address; there must be a page."""
        space = self.context().space_of(PhysicalAddress(process.get("memory.page_directory_")))
        found = space.translate(VirtualAddress(virtual))
        return PhysicalAddress(found.physical)  # type: ignore[union-attr]  # a fault fails the test here

    def entry(self, process: Structure, virtual: int) -> PhysicalAddress:
        """Where the raw entry lies that maps the address in the process."""
        space = self.context().space_of(PhysicalAddress(process.get("memory.page_directory_")))
        return space.translate(VirtualAddress(virtual)).steps[-1].entry_address

    def _map(self, directory: int, start: int, size_bytes: int, flags: PageFlags) -> None:
        for page in range(start, start + size_bytes, PAGE_BYTES):
            frame = self.machine.frames.alloc()
            self.machine.physical.fill(frame, PAGE_BYTES)
            assert self.machine.paging.map(directory, page, frame, flags)

    def _block(
        self, directory: int, at: int, size: int, state: tuple[int, int], after: int, before: int
    ) -> None:
        space = self.context().space_of(PhysicalAddress(directory))
        found = space.translate(VirtualAddress(at))
        values = {"size": size, "is_free": state[0], "next": after, "prev": before, "magic": state[1]}
        for offset, data in HEAP_BLOCK.encode(values).items():
            address = PhysicalAddress(found.physical + offset)  # type: ignore[union-attr]  # as in `physical`
            self.machine.physical.write(address, data)


def user_side(*names: str, mebibytes: int = 64) -> UserSide:
    """A machine with that much RAM and the named processes."""
    machine = Machine.boot([MapEntry(0, 0x9FC00), MapEntry(1 << 20, (mebibytes - 1) << 20)])
    head = machine.kalloc(16)
    machine.memory.write_u64(head, 0)
    side = UserSide(machine, head)
    for name in names:
        side.add(name)
    return side
