"""What a physical page is, as far as one look tells: memory or device, kernel part, free frame."""

from coronel_gdb.errors import CoronelError, ReadFault
from coronel_gdb.lift.frames import read_manager
from coronel_gdb.lift.kernel_image import KernelImage
from coronel_gdb.lift.space import AddressSpace
from coronel_gdb.profiles.schema import ListProfile
from coronel_gdb.protocols import HasMemoryMap, Target
from model.records import FrameManager
from model.types import PAGE_BYTES, PhysicalAddress, VirtualAddress


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
    index = page // PAGE_BYTES
    if index >= manager.node_count or not any(start <= page < end for start, end in manager.ranges):
        return "not managed by the frame allocator"
    node = VirtualAddress(manager.nodes + index * profile.node.size_bytes)
    try:
        free = profile.node.decode(space.read(node, profile.node.size_bytes))["address"]
    except ReadFault:
        return "frame whose node cannot be read"
    return "free frame" if free else "frame in use"  # §4.4: the node of a frame in use is all 0
