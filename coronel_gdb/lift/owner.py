"""What a physical page is, as far as one look tells: memory or device, kernel part, free frame."""

from coronel_gdb.errors import CoronelError, ReadFault
from coronel_gdb.lift.frames import read_manager
from coronel_gdb.lift.kernel_image import KernelImage
from coronel_gdb.lift.space import AddressSpace
from coronel_gdb.profiles.schema import ListProfile
from coronel_gdb.protocols import HasMemoryMap, Target
from model.records import FrameManager
from model.types import PAGE_BYTES, PhysicalAddress, VirtualAddress

_ENOUGH_AT_ONCE = 1 << 20  # nodes: one read of 16 MiB


def backing(space: AddressSpace, physical: int) -> str | None:
    """Kind and name of what the machine has at an address; None where the host cannot tell."""
    if not isinstance(space.memory, HasMemoryMap):
        return None
    return space.memory.lies_in(PhysicalAddress(physical)) or "nothing: no RAM, ROM or device there"


def frame_manager(target: Target, space: AddressSpace, profile: ListProfile) -> FrameManager | None:
    """The manager of physical frames, None before it exists or where it cannot be read."""
    try:
        return read_manager(target, space, profile)
    except CoronelError:
        return None


def free_frames(
    space: AddressSpace, manager: FrameManager, profile: ListProfile, start: int, end: int
) -> list[int]:
    """Those frames of [start, end) that the manager's nodes call free (docs/spec.md §4.4), ascending.

    `ReadFault` when a node cannot be read.
    """
    node_bytes, found = profile.node.size_bytes, []
    first, last = start // PAGE_BYTES, min(-(-end // PAGE_BYTES), manager.node_count)
    if manager.nodes + last * node_bytes > 1 << 64:
        raise ReadFault("virtual", manager.nodes, last * node_bytes, "it is beyond the end of memory")
    for chunk in range(first, last, _ENOUGH_AT_ONCE):
        count = min(_ENOUGH_AT_ONCE, last - chunk)
        data = space.read(VirtualAddress(manager.nodes + chunk * node_bytes), count * node_bytes)
        for index in range(count):
            if profile.node.decode(data, index * node_bytes)["address"]:
                found.append((chunk + index) * PAGE_BYTES)
    return found


def owner(
    space: AddressSpace,
    physical: int,
    image: KernelImage | None,
    frames: tuple[FrameManager, ListProfile] | None,
) -> str:
    """In a few words what the page at a physical address is; the cheap answers only."""
    page = physical & -PAGE_BYTES
    parts = [backing(space, physical)]
    if image is not None:
        part = image.part_of(page)
        parts.append(part)
        if page == image.directory:
            parts.append("the kernel's PML4")
        if part is None and frames is not None:
            parts.append(_frame_state(space, page, *frames))
    return ", ".join(part for part in parts if part) or "unknown: this host has no memory map"


def _frame_state(space: AddressSpace, page: int, manager: FrameManager, profile: ListProfile) -> str:
    if not any(start <= page < end for start, end in manager.ranges):
        return "not managed by the frame allocator"
    try:
        free = free_frames(space, manager, profile, page, page + PAGE_BYTES)
    except ReadFault:
        return "frame whose node cannot be read"
    return "free frame" if free else "frame in use"
