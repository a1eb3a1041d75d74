"""The list of free frames as records, node by node, from one bulk read of the node array."""

from dataclasses import dataclass, field

from coronel_gdb.errors import KernelError
from coronel_gdb.lift.image import Image
from coronel_gdb.lift.pointer import pointer
from coronel_gdb.lift.space import AddressSpace
from coronel_gdb.profiles.schema import ListProfile
from coronel_gdb.protocols import Target
from model.records import FrameManager, FrameNode
from model.types import PAGE_BYTES, PhysicalAddress, VirtualAddress, is_aligned

_MOST_NODES = 1 << 28  # 1 TiB of RAM: a larger count is damage, not a machine


@dataclass(slots=True)
class LiftedFrames:
    """The manager, the nodes in list order, and where following them stopped.

    `stop` is the pointer that could not be followed, 0 for a list that ends with null. `others` are the
    nodes outside the list that carry an address all the same.
    """

    manager: FrameManager
    image: Image
    nodes: list[FrameNode] = field(default_factory=list)
    others: list[FrameNode] = field(default_factory=list)
    stop: int = 0


def lift_frames(target: Target, space: AddressSpace, profile: ListProfile) -> LiftedFrames:
    """Read the whole list; `NotInitialised` when its manager's pointer is null, `ReadFault` as it says."""
    manager = read_manager(target, space, profile)
    size = profile.node.size_bytes
    if manager.node_count > _MOST_NODES:
        raise KernelError(
            f"node_count_ is {manager.node_count:#x}: no machine has so many frames, it is damaged"
        )
    image = Image(space, manager.nodes, VirtualAddress(manager.nodes + manager.node_count * size))
    lifted = LiftedFrames(manager, image)
    decode, seen = profile.node.decode, set()
    at = int(manager.free_list)
    while at:
        if at in seen or not is_aligned(at, 8):
            lifted.stop = at
            break
        chunk = image.chunk(at)
        if chunk is None or at + size > chunk[0] + len(chunk[1]):
            lifted.stop = at
            break
        seen.add(at)
        values = decode(chunk[1], at - chunk[0])
        at, node = values["previous"], at
        lifted.nodes.append(
            FrameNode(VirtualAddress(node), PhysicalAddress(values["address"]), VirtualAddress(at))
        )
    _others(lifted, profile, seen)
    return lifted


def read_manager(target: Target, space: AddressSpace, profile: ListProfile) -> FrameManager:
    """The manager object alone."""
    address = pointer(target, space, profile.pointer, "physical manager")
    data = space.read(address, profile.manager.size_bytes)
    values = profile.manager.decode(data)
    flat = profile.manager.array(data, "ranges")
    pairs = list(zip(flat[::2], flat[1::2], strict=True))[: values["range_count"]]
    return FrameManager(
        address=address,
        physical_end=PhysicalAddress(values["physical_end"]),
        free_list=VirtualAddress(values["free_list"]),
        nodes=VirtualAddress(values["nodes"]),
        node_count=values["node_count"],
        free_count=values["free_count"],
        ranges=tuple((PhysicalAddress(start), PhysicalAddress(end)) for start, end in pairs),
        errors=profile.manager.array(data, "errors"),
        locked=values["locked"],
    )


def managed_frames(manager: FrameManager) -> int:
    """How many frames the manager's ranges hold."""
    return sum((end - start) // PAGE_BYTES for start, end in manager.ranges)


def _others(lifted: LiftedFrames, profile: ListProfile, seen: set[int]) -> None:
    """Nodes of the array with an address that the list does not reach."""
    manager, size = lifted.manager, profile.node.size_bytes
    end = manager.nodes + manager.node_count * size
    for node in range(manager.nodes, end, size):
        if node in seen:
            continue
        chunk = lifted.image.chunk(node)
        if chunk is None or node + size > chunk[0] + len(chunk[1]):
            continue
        values = profile.node.decode(chunk[1], node - chunk[0])
        if values["address"]:
            lifted.others.append(
                FrameNode(
                    VirtualAddress(node),
                    PhysicalAddress(values["address"]),
                    VirtualAddress(values["previous"]),
                )
            )
