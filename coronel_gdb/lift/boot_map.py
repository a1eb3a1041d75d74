"""What the boot left for good: the kernel's copy of the memory map, and the frame manager set up by it."""

from dataclasses import dataclass

from coronel_gdb.errors import KernelError
from coronel_gdb.lift.frames import read_manager
from coronel_gdb.lift.space import AddressSpace
from coronel_gdb.profiles.schema import ResolvedProfile
from coronel_gdb.protocols import Target
from model.invariants import boot
from model.memory import PhysicalRange
from model.records import FrameManager
from model.types import PhysicalAddress


@dataclass(frozen=True, slots=True)
class BootMap:
    """The memory map of the boot, `placement` as it was sealed, and the manager as it is now.

    `slots` are all places of its `ranges_`, of which it says that `range_count` are in use.
    """

    map: boot.BootMap
    placement: int
    manager: FrameManager
    slots: tuple[tuple[int, int], ...]
    range_count: int
    node_bytes: int


def read_boot_map(target: Target, space: AddressSpace, profile: ResolvedProfile) -> BootMap:
    """`KernelError` for a kernel that keeps no memory map; `ReadFault`, `NotInitialised` as they say."""
    name = profile.image.get("placement")
    placement = target.symbol(name) if name else None
    if placement is None:
        raise KernelError("the kernel keeps no copy of its memory map")
    known = read_map(target, space, profile)
    manager = read_manager(target, space, profile.frames)
    structure = profile.frames.manager
    raw = space.read(manager.address, structure.size_bytes)
    flat = structure.array(raw, "ranges")
    return BootMap(
        known,
        space.read_u64(placement),
        manager,
        tuple(zip(flat[::2], flat[1::2], strict=True)),
        structure.decode(raw)["range_count"],
        profile.frames.node.size_bytes,
    )


def read_map(target: Target, space: AddressSpace, profile: ResolvedProfile) -> boot.BootMap:
    """The kernel's copy of the memory map; `KernelError` for a kernel that keeps none."""
    variable = profile.boot_map
    address = target.symbol(variable.symbol) if variable else None
    if variable is None or address is None:
        raise KernelError("the kernel keeps no copy of its memory map")
    structure = variable.structure
    data = space.read(address, structure.size_bytes)
    counts = structure.decode(data)
    ram, reserved = counts["ram_count"], counts["reserved_count"]
    return boot.BootMap(
        int(address),
        _ranges(structure.array(data, "ram"), ram),
        _ranges(structure.array(data, "reserved"), reserved),
        ram,
        reserved,
    )


def _ranges(flat: tuple[int, ...], count: int) -> tuple[PhysicalRange, ...]:
    pairs = list(zip(flat[::2], flat[1::2], strict=True))[:count]
    return tuple(PhysicalRange(PhysicalAddress(start), PhysicalAddress(end)) for start, end in pairs)
