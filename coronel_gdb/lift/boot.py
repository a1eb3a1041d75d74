"""The state that a kernel booted into, made anew: its memory map and image, run through the model's boot.

The memory map is the kernel's own copy (docs/spec.md §9 step 1); a kernel that shows none is taken by
the ranges of its frame manager. Either can be damaged by now, so what the model's boot makes of it is
compared with all that the boot fixed for good, each kept elsewhere.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice, pairwise

from coronel_gdb.errors import KernelError, TargetError
from coronel_gdb.lift.frames import read_manager
from coronel_gdb.lift.space import AddressSpace
from coronel_gdb.profiles.schema import ListProfile
from coronel_gdb.profiles.trace import BootProfile
from coronel_gdb.protocols import Target
from model.address_space import PLAIN_IMAGE, ImageSymbols, linear_physical
from model.errors import Stopped
from model.layouts import VIRT
from model.machine import Machine
from model.memory import PhysicalRange
from model.multiboot import MapEntry
from model.records import FrameManager
from model.types import PAGE_BYTES, PhysicalAddress, VirtualAddress

_ONE_MIB = 1 << 20
_SHOWN = 3


@dataclass(frozen=True, slots=True)
class BootState:
    """A machine in the state after its boot, and where its memory map came from."""

    machine: Machine
    source: str


def lift_boot(
    target: Target,
    space: AddressSpace,
    frames: ListProfile,
    boot: BootProfile | None,
    trace_records: int,
) -> BootState:
    """Boot the model as the kernel was. `TargetError` when the result is not this kernel's boot state."""
    image = _image(target)
    manager = read_manager(target, space, frames)
    variable = target.symbol(boot.variable) if boot is not None else None
    if boot is not None and variable is not None:
        source = boot.variable
        ram, reserved = _copied_map(space, boot, variable)
    else:
        source = f"the ranges of {frames.pointer}"
        ram, reserved = _managers_map(space, image, manager), []
    try:
        machine = Machine.boot(ram, reserved, image, trace_records=trace_records)
    except (Stopped, MemoryError, OverflowError) as error:
        raise TargetError(f"cannot tell the boot state: with the memory map of {source}, {error}") from error
    wrong = list(islice(_differences(space, machine, manager), _SHOWN))
    if wrong:
        raise TargetError(f"cannot tell the boot state: by {source}, {'; '.join(wrong)}")
    return BootState(machine, source)


def _image(target: Target) -> ImageSymbols:
    names = [name for name in PLAIN_IMAGE.by_name() if name != "_end"]
    found = {name: target.symbol(name) for name in names}
    missing = [name for name, address in found.items() if address is None]
    if missing:
        raise KernelError(f"the kernel has no symbol {', '.join(missing)}: its boot cannot be repeated")
    return ImageSymbols.from_names({name: int(address or 0) for name, address in found.items()})


def _copied_map(
    space: AddressSpace, boot: BootProfile, variable: VirtualAddress
) -> tuple[list[MapEntry], list[PhysicalRange]]:
    data = space.read(variable, boot.map.size_bytes)
    values = boot.map.decode(data)
    ram = _pairs(boot.map.array(data, "ram"), values["ram_count"], boot.variable)
    reserved = _pairs(boot.map.array(data, "reserved"), values["reserved_count"], boot.variable)
    return (
        [MapEntry(start, end - start) for start, end in ram],
        [PhysicalRange(PhysicalAddress(start), PhysicalAddress(end)) for start, end in reserved],
    )


def _pairs(flat: tuple[int, ...], count: int, name: str) -> list[tuple[int, int]]:
    pairs = list(zip(flat[::2], flat[1::2], strict=True))
    listed = pairs[:count]
    ascending = all(before[1] < after[0] for before, after in pairwise(listed))
    if count > len(pairs) or not ascending or any(start >= end for start, end in listed):
        raise TargetError(f"cannot tell the boot state: {name} is damaged, its ranges do not ascend")
    return listed


def _managers_map(space: AddressSpace, image: ImageSymbols, manager: FrameManager) -> list[MapEntry]:
    """RAM as the frame manager knows it; what was reserved lies between its ranges."""
    end = max(space.read_u64(image.placement), linear_physical(VirtualAddress(manager.nodes)))
    end = -(-end // PAGE_BYTES) * PAGE_BYTES
    pieces = sorted([(PhysicalAddress(_ONE_MIB), PhysicalAddress(end)), *manager.ranges])
    return [MapEntry(start, size) for start, end in pieces if (size := end - start) > 0]


def _differences(space: AddressSpace, machine: Machine, manager: FrameManager) -> Iterator[str]:
    """What the boot fixed for good and the kernel has otherwise."""
    image = machine.image
    for name in (
        "__placement",
        "g_physical_manager",
        "g_kernel_virtual_manager",
        "g_kernel_heap",
        "paging::kernel_directory_",
    ):
        address = VirtualAddress(image.by_name()[name])
        ours, theirs = machine.memory.read_u64(address), space.read_u64(address)
        if ours != theirs:
            yield f"{name} would be {ours:#x}, it is {theirs:#x}"
    fields = machine.frames.fields
    for name, theirs in (
        ("physical_end_", manager.physical_end),
        ("nodes_", manager.nodes),
        ("node_count_", manager.node_count),
    ):
        if fields.get(name) != theirs:
            yield f"physical::{name} would be {fields.get(name):#x}, it is {theirs:#x}"
    flat = [number for pair in manager.ranges for number in pair]
    if flat != [fields.get("ranges_", index) for index in range(2 * fields.get("range_count_"))]:
        yield "physical::ranges_ would be others"
    regions = machine.regions.fields
    for name in ("start_", "end_"):
        at = VirtualAddress(regions.address + VIRT.member(name).offset_bytes)
        if regions.get(name) != space.read_u64(at):
            yield f"virt::{name} would be {regions.get(name):#x}, it is {space.read_u64(at):#x}"
