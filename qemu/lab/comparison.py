"""Kernel against model after the same orders: every byte that the specification fixes."""

from typing import Final

from lab.executor import Executor
from lab.modelled import Modelled
from model.machine import Machine
from model.types import PAGE_BYTES, PhysicalAddress, VirtualAddress

_IMAGE_END: Final = 0x336000
_ACCESSED_DIRTY: Final = 0x60  # the CPU sets them; docs/spec.md §5.2 takes them out of every comparison
_PRESENT: Final = 1
_MOST: Final = 20  # differences told


def differences(executor: Executor, modelled: Modelled) -> list[str]:
    """What is not the same in both memories; nothing when they agree."""
    machine = modelled.machine
    found = _variables(executor, machine)
    pages = {page for page in executor.ram.changed() if page >= _IMAGE_END}
    pages.update(page for page in machine.physical.touched_pages() if page >= _IMAGE_END)
    for page in sorted(pages):
        ours = machine.physical.read(PhysicalAddress(page), PAGE_BYTES)
        theirs = executor.ram.read(page, PAGE_BYTES)
        if ours != theirs:
            found += _words(machine, page, ours, theirs)
    return found[:_MOST]


def _variables(executor: Executor, machine: Machine) -> list[str]:
    """The variables of the image that the specification names."""
    found = []
    for name, count in _VARIABLES.items():
        for index in range(count):
            ours = machine.memory.read_u64(VirtualAddress(machine.symbols[name] + 8 * index))
            theirs = executor.ram.read_u64(executor.physical(name) + 8 * index)
            if ours != theirs:
                found.append(f"{name}[{index}]: model {ours:#x}, kernel {theirs:#x}")
    for name, value in (
        ("paging::next_device_", machine.paging.next_device),
        ("coronel::_GLOBAL__N_1::g_next_pid", machine.processes.next_pid),
    ):
        theirs = executor.ram.read_u64(executor.physical(name))
        if theirs != value:
            found.append(f"{name}: model {value:#x}, kernel {theirs:#x}")
    windows = executor.physical("paging::window_table_")
    if any(executor.ram.read(windows, PAGE_BYTES)):
        found.append("a window is open")
    return found


_VARIABLES: Final = {
    "__placement": 1,
    "g_physical_manager": 1,
    "g_kernel_virtual_manager": 1,
    "g_kernel_heap": 1,
    "memory::placement_errors_": 5,
    "paging::errors_": 5,
    "paging::kernel_directory_": 1,
    "g_process_list": 1,
}


def _words(machine: Machine, page: int, ours: bytes, theirs: bytes) -> list[str]:
    """The differing words of one page; accessed and dirty flags of entries do not count."""
    found = []
    for at in range(0, PAGE_BYTES, 8):
        a, b = int.from_bytes(ours[at : at + 8], "little"), int.from_bytes(theirs[at : at + 8], "little")
        is_entry = a & _PRESENT and page >= machine.placement.end
        if (a ^ b) & ~(_ACCESSED_DIRTY if is_entry else 0):
            found.append(f"{page + at:#x}: model {a:#x}, kernel {b:#x}")
    return found
