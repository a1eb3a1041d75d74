"""What the boot left for good: the kernel's copy of the memory map, and the frame manager set up by it."""

from dataclasses import dataclass

from coronel_gdb.errors import KernelError
from coronel_gdb.lift.frames import read_manager
from coronel_gdb.lift.space import AddressSpace
from coronel_gdb.profiles.schema import ResolvedProfile
from coronel_gdb.protocols import Target
from model.memory import PhysicalRange
from model.records import FrameManager
from model.types import PhysicalAddress


@dataclass(frozen=True, slots=True)
class BootMap:
    """RAM and reserved ranges of the boot, `placement` as it was sealed, and the manager as it is now.

    `slots` are all places of its `ranges_`, of which it says that `range_count` are in use.
    """

    ram: tuple[PhysicalRange, ...]
    reserved: tuple[PhysicalRange, ...]
    placement: int
    manager: FrameManager
    slots: tuple[tuple[int, int], ...]
    range_count: int
    node_bytes: int


def read_boot_map(target: Target, space: AddressSpace, profile: ResolvedProfile) -> BootMap:
    """`KernelError` for a kernel that keeps no memory map; `ReadFault`, `NotInitialised` as they say."""
    boot, name = profile.boot_map, profile.image.get("placement")
    variable = target.symbol(boot.symbol) if boot else None
    placement = target.symbol(name) if name else None
    if boot is None or variable is None or placement is None:
        raise KernelError("the kernel keeps no copy of its memory map")
    data = space.read(variable, boot.structure.size_bytes)
    counts = boot.structure.decode(data)
    manager = read_manager(target, space, profile.frames)
    structure = profile.frames.manager
    raw = space.read(manager.address, structure.size_bytes)
    flat = structure.array(raw, "ranges")
    return BootMap(
        _ranges(boot.structure.array(data, "ram"), counts["ram_count"]),
        _ranges(boot.structure.array(data, "reserved"), counts["reserved_count"]),
        space.read_u64(placement),
        manager,
        tuple(zip(flat[::2], flat[1::2], strict=True)),
        structure.decode(raw)["range_count"],
        profile.frames.node.size_bytes,
    )


def _ranges(flat: tuple[int, ...], count: int) -> tuple[PhysicalRange, ...]:
    pairs = list(zip(flat[::2], flat[1::2], strict=True))[:count]
    return tuple(PhysicalRange(PhysicalAddress(start), PhysicalAddress(end)) for start, end in pairs)
