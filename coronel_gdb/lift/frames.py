"""The list of free frames as records, node by node, from one bulk read of the node array."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from coronel_gdb.errors import KernelError
from coronel_gdb.lift.image import Image
from coronel_gdb.lift.pointer import located
from coronel_gdb.lift.sound_frames import SoundFrames, prove
from coronel_gdb.lift.space import AddressSpace
from coronel_gdb.profiles.schema import ListProfile, Structure
from coronel_gdb.protocols import Target
from model.invariants.base import Verdict
from model.invariants.frames import END, check_frames, sound_verdict
from model.records import FrameManager, FrameNode
from model.types import PAGE_BYTES, PhysicalAddress, VirtualAddress, is_aligned

_MOST_NODES = 1 << 28  # 1 TiB of RAM: a larger count is damage, not a machine


@dataclass(slots=True)
class LiftedFrames:
    """The manager, the nodes in list order, and where following them stopped.

    `stop` is the pointer that could not be followed, 0 for a list that ends with null. `others` are the
    nodes outside the list that carry an address all the same. A list that was proved in bulk has `sound` and
    no nodes one by one.
    """

    manager: FrameManager
    image: Image
    node_bytes: int
    nodes: list[FrameNode] = field(default_factory=list)
    others: list[FrameNode] = field(default_factory=list)
    stop: int = 0
    sound: SoundFrames | None = None
    lost: str = ""
    """Why `stop` could not be read, where it lies in memory that the target does not have."""

    @property
    def count(self) -> int:
        """How many nodes the list has."""
        return self.sound.count if self.sound else len(self.nodes)

    @property
    def first(self) -> PhysicalAddress:
        """The frame that is handed out next; 0 when the list is empty or its head is no node."""
        if self.nodes:
            return self.nodes[0].address
        index = (self.manager.free_list - self.manager.nodes) // self.node_bytes
        return PhysicalAddress(index * PAGE_BYTES if self.count else 0)

    def node_of(self, frame: int) -> VirtualAddress | None:
        """The node of the frame at that physical address, None when it has none."""
        index = frame // PAGE_BYTES
        if index >= self.manager.node_count:
            return None
        return VirtualAddress(self.manager.nodes + index * self.node_bytes)

    def free_between(self, start: int, end: int) -> int:
        """How many frames of physical [start, end) the list holds."""
        if self.sound:
            return self.sound.free.count(1, start // PAGE_BYTES, end // PAGE_BYTES)
        return sum(start <= node.address < end for node in self.nodes)

    def free_ranges(self) -> list[tuple[int, int]]:
        """Physical [start, end) of the frames that the list says are free, in ascending order."""
        if self.sound:
            free = self.sound.free
        else:
            found = bytearray(min(self.manager.node_count, _MOST_NODES))
            for node in self.nodes:
                # By its place, which says whose node it is: its address may be damaged.
                index = (node.node - self.manager.nodes) // self.node_bytes
                if 0 <= index < len(found):
                    found[index] = 1
            free = bytes(found)
        return [
            (match.start() * PAGE_BYTES, match.end() * PAGE_BYTES) for match in re.finditer(b"\x01+", free)
        ]

    def verdict(self) -> Verdict:
        """The list against all its invariants."""
        if self.sound:
            return sound_verdict(self.sound.count)
        return self.as_far_as_known(
            check_frames(
                self.manager, self.nodes, self.node_bytes, stop=self.stop, listed_elsewhere=self.others
            )
        )

    def as_far_as_known(self, verdict: Verdict) -> Verdict:
        """The verdict without what was said of an end that lies in memory the target does not have."""
        if self.lost:
            verdict.violations = [found for found in verdict.violations if found.invariant is not END]
            verdict.unchecked.append((END, f"node {self.stop:#x}: {self.lost}"))
        return verdict


def lift_frames(
    target: Target, space: AddressSpace, profile: ListProfile, *, careful: bool = True
) -> LiftedFrames:
    """Read the whole list; `NotInitialised` when its manager's pointer is null, `ReadFault` as it says.

    With `careful` off, a list that is proved sound in bulk has no nodes one by one.
    """
    manager = read_manager(target, space, profile)
    return follow_frames(manager, space, profile, careful=careful)


def follow_frames(
    manager: FrameManager, space: AddressSpace, profile: ListProfile, *, careful: bool = False
) -> LiftedFrames:
    """Read the list of a manager that was read before."""
    size = profile.node.size_bytes
    if manager.node_count > _MOST_NODES:
        raise KernelError(
            f"node_count_ is {manager.node_count:#x}: no machine has so many frames, it is damaged"
        )
    image = Image(space, manager.nodes, VirtualAddress(manager.nodes + manager.node_count * size))
    lifted = LiftedFrames(manager, image, size)
    whole = None if careful else image.chunk(manager.nodes)
    if whole is not None and whole[0] == manager.nodes:
        lifted.sound = prove(manager, whole[1], profile)
        if lifted.sound is not None:
            return lifted
    fields, seen = _fields(profile.node), set()
    at, base, data, last = int(manager.free_list), 0, b"", -1
    while at:
        if not base <= at <= last:
            base, data = image.chunk(at) or (0, b"")
            last = base + len(data) - size
        if at in seen or not is_aligned(at, 8) or not base <= at <= last:
            lifted.stop = at
            lost = (run for run in image.unreadable if run.lost and run.start < at + size and at < run.end)
            lifted.lost = next((run.reason for run in lost), "")
            break
        seen.add(at)
        node = at
        address, at = fields(data, at - base)
        lifted.nodes.append(FrameNode(VirtualAddress(node), PhysicalAddress(address), VirtualAddress(at)))
    _others(lifted, profile, seen)
    return lifted


def _fields(node: Structure) -> Callable[[bytes, int], tuple[int, ...]]:
    """What reads address and link of the node at an offset."""
    roles = ("address", "previous")
    if not node.parts and node.offset(roles[0]) < node.offset(roles[1]):
        return node.unpacker(roles)

    def decoded(data: bytes, offset: int) -> tuple[int, ...]:
        values = node.decode(data, offset)
        return tuple(values[role] for role in roles)

    return decoded


def read_manager(target: Target, space: AddressSpace, profile: ListProfile) -> FrameManager:
    """The manager object alone."""
    return manager_at(located(target, space, profile.section, "physical manager"), space, profile)


def manager_at(address: VirtualAddress, space: AddressSpace, profile: ListProfile) -> FrameManager:
    """The manager object at an address; `ReadFault` where it cannot be read."""
    data = space.read(address, profile.manager.size_bytes)
    values = profile.manager.decode(data)
    flat = profile.manager.array(data, "ranges")
    pairs = list(zip(flat[::2], flat[1::2], strict=True))[: values.get("range_count", 0)]
    return FrameManager(
        address=address,
        physical_end=PhysicalAddress(values.get("physical_end", 0)),
        free_list=VirtualAddress(values["free_list"]),
        nodes=VirtualAddress(values["nodes"]),
        node_count=values["node_count"],
        free_count=values.get("free_count", 0),
        ranges=tuple((PhysicalAddress(start), PhysicalAddress(end)) for start, end in pairs),
        errors=profile.manager.array(data, "errors"),
        locked=values.get("locked", 0),
        unkept=profile.manager.unnamed(FrameManager.__slots__),
    )


def managed_frames(manager: FrameManager) -> int:
    """How many frames the manager's ranges hold."""
    return sum((end - start) // PAGE_BYTES for start, end in manager.ranges)


def _others(lifted: LiftedFrames, profile: ListProfile, seen: set[int]) -> None:
    """Nodes of the array with an address that the list does not reach."""
    for start, data in lifted.image.chunks():
        for node in _claiming(start, data, lifted.manager.nodes, profile):
            if node not in seen:
                values = profile.node.decode(data, node - start)
                lifted.others.append(
                    FrameNode(
                        VirtualAddress(node),
                        PhysicalAddress(values["address"]),
                        VirtualAddress(values["previous"]),
                    )
                )


def _claiming(start: int, data: bytes, nodes: int, profile: ListProfile) -> Iterator[int]:
    """The nodes inside a chunk that have an address: one a frame number, so most may stand for no RAM."""
    size, address = profile.node.size_bytes, profile.node.members["address"]
    first = -(start - nodes) % size
    whole = data[first : first + (len(data) - first) // size * size]
    if size % 8 == 0 and address.offset_bytes % 8 == 0 and address.size_bytes == 8:
        words = memoryview(whole).cast("Q")[address.offset_bytes // 8 :: size // 8]
        yield from (start + first + number * size for number, word in enumerate(words.tolist()) if word)
        return
    for at in range(0, len(whole), size):
        if profile.node.decode(whole, at)["address"]:
            yield start + first + at
