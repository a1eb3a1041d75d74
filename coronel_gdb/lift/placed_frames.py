"""The list of free frames of a kernel that places a node for each one: nodes lie in any order."""

from bisect import bisect_left
from itertools import groupby

from coronel_gdb.errors import ReadFault
from coronel_gdb.lift.frames import LiftedFrames
from coronel_gdb.lift.image import Image
from coronel_gdb.lift.pointer import located
from coronel_gdb.lift.space import AddressSpace
from coronel_gdb.profiles.schema import ListProfile
from coronel_gdb.protocols import Target
from model.invariants.base import Verdict
from model.invariants.placed_frames import check_placed_frames
from model.records import FrameManager, FrameNode
from model.types import PAGE_BYTES, PhysicalAddress, VirtualAddress, is_aligned

_MOST_NODES = 1 << 24  # 64 GiB of free frames: a longer list is damage, or takes minutes


class PlacedFrames(LiftedFrames):
    """As any list of frames, without an array: what is free is what the nodes say."""

    @property
    def first(self) -> PhysicalAddress:
        """The frame that is handed out next, 0 when the list is empty."""
        return self.nodes[0].address if self.nodes else PhysicalAddress(0)

    def node_of(self, frame: int) -> VirtualAddress | None:
        """The node of a free frame; a frame in use has none."""
        return next((node.node for node in self.nodes if node.address == frame), None)

    def free_between(self, start: int, end: int) -> int:
        """How many frames of physical [start, end) the list holds, each once."""
        frames = self._frames()
        return bisect_left(frames, end) - bisect_left(frames, start)

    def free_ranges(self) -> list[tuple[int, int]]:
        """Physical [start, end) of the frames that the list says are free, in ascending order."""
        found = []
        for _, run in groupby(enumerate(self._frames()), lambda pair: pair[1] - pair[0] * PAGE_BYTES):
            pages = [frame for _, frame in run]
            found.append((pages[0], pages[-1] + PAGE_BYTES))
        return found

    def verdict(self) -> Verdict:
        """The list against all its invariants."""
        return self.as_far_as_known(check_placed_frames(self.manager, self.nodes, stop=self.stop))

    def _frames(self) -> list[int]:
        return sorted({int(node.address) for node in self.nodes if is_aligned(node.address, PAGE_BYTES)})


def read_placed_manager(target: Target, space: AddressSpace, profile: ListProfile) -> FrameManager:
    """The manager object alone."""
    address = located(target, space, profile.section, "physical manager")
    structure = profile.manager
    data = space.read(address, structure.size_bytes)
    values = structure.decode(data)
    unkept = structure.unnamed(FrameManager.__slots__) - {"nodes", "node_count"}
    ranges: tuple[tuple[PhysicalAddress, PhysicalAddress], ...] = ()
    if {"managed_start", "managed_end"} <= set(values):
        ranges = ((PhysicalAddress(values["managed_start"]), PhysicalAddress(values["managed_end"])),)
        unkept -= {"ranges"}
    return FrameManager(
        address=address,
        physical_end=PhysicalAddress(values.get("physical_end", 0)),
        free_list=VirtualAddress(values["free_list"]),
        nodes=VirtualAddress(0),
        node_count=0,
        free_count=values.get("free_count", 0),
        ranges=ranges,
        errors=structure.array(data, "errors"),
        locked=values.get("locked", 0),
        unkept=unkept,
    )


def follow_placed_frames(manager: FrameManager, space: AddressSpace, profile: ListProfile) -> PlacedFrames:
    """Read the list, bounded, each node once; what cannot be read, or is no node, ends it."""
    size = profile.node.size_bytes
    lifted = PlacedFrames(manager, Image(space, VirtualAddress(0), VirtualAddress(0)), size)
    read = _Nodes(space, manager, profile).at
    seen: set[int] = set()
    at = int(manager.free_list)
    while at:
        node = None if at in seen or len(seen) == _MOST_NODES else read(at, len(seen))
        if node is None:
            lifted.stop = at
            lifted.lost = "" if at in seen else space.why_lost(VirtualAddress(at), size)
            break
        seen.add(at)
        lifted.nodes.append(node)
        at = int(node.previous)
    return lifted


class _Nodes:
    """Reads nodes. They lie anywhere, so a wild pointer is told from a damaged node by what comes behind."""

    def __init__(self, space: AddressSpace, manager: FrameManager, profile: ListProfile) -> None:
        self._pages = _Pages(space)
        self._manager = manager
        self._node = profile.node

    def at(self, address: int, listed: int) -> FrameNode | None:
        """The node there, behind `listed` others; None where nothing of it can be a node's."""
        node = self._read(address)
        if node is None or self._names_frame(node):
            return node
        if not node.previous:
            return node if listed + 1 == self._manager.free_count else None  # the last one, damaged
        after = self._read(node.previous)
        return node if after is not None and self._names_frame(after) else None

    def _read(self, address: int) -> FrameNode | None:
        data = self._pages.read(address, self._node.size_bytes) if is_aligned(address, 8) else None
        if data is None:
            return None
        values = self._node.decode(data)
        return FrameNode(
            VirtualAddress(address),
            PhysicalAddress(values["address"]),
            VirtualAddress(values["previous"]),
        )

    def _names_frame(self, node: FrameNode) -> bool:
        managed = "ranges" in self._manager.unkept or any(
            start <= node.address < end for start, end in self._manager.ranges
        )
        return managed and is_aligned(node.address, PAGE_BYTES)


class _Pages:
    """Memory page by page, each read once: nodes lie close together, but in any order."""

    def __init__(self, space: AddressSpace) -> None:
        self._space = space
        self._pages: dict[int, bytes | None] = {}

    def read(self, address: int, size_bytes: int) -> bytes | None:
        """The bytes there, None when they cannot be read."""
        offset = address % PAGE_BYTES
        data = self._page(address - offset)
        if data is not None and offset + size_bytes > PAGE_BYTES:
            after = self._page(address - offset + PAGE_BYTES)
            data = None if after is None else data + after
        return None if data is None else data[offset : offset + size_bytes]

    def _page(self, page: int) -> bytes | None:
        if page not in self._pages:
            try:
                self._pages[page] = self._space.read(VirtualAddress(page), PAGE_BYTES)
            except ReadFault:
                self._pages[page] = None
        return self._pages[page]
