"""Proof in bulk that a list of free frames is sound; no proof, no answer: then it is followed with care.

What is proved is what `model.invariants.frames` asks for: every node of the list lies in the array and names
its own frame, all frames with an address are in the list, and the list ends with null. The list links nodes
in any order, so it is followed, but cut: from many nodes at once to the next node of the cut, and then
from cut to cut.
"""

from array import array
from dataclasses import dataclass
from itertools import compress, repeat
from operator import ne
from types import ModuleType
from typing import Any

from coronel_gdb.lift.bulk import numpy_for
from coronel_gdb.profiles.schema import ListProfile
from model.records import FrameManager
from model.types import PAGE_BYTES, U64_MASK

_NODES_A_CUT = 1024
_OTHERS = bytes.maketrans(b"\0\1", b"\1\0")  # who is not free
_IN_A_NODE = bytes(low % 16 != 0 for low in range(256))  # by the lowest byte of a link
_NODE_WORDS = 2  # what is decoded in bulk here is exactly an array of pairs of 8 bytes


@dataclass(frozen=True, slots=True)
class SoundFrames:
    """`free` has one byte a frame number, 1 where the frame is free; `count` are the nodes of the list."""

    count: int
    free: bytes


def prove(manager: FrameManager, data: bytes | bytearray, profile: ListProfile) -> SoundFrames | None:
    """The proof over the bytes of the whole node array; None when anything at all is not as it must be."""
    numpy = numpy_for(manager.node_count)
    if not suits(manager, data, profile):
        return None
    return _by_arrays(manager, data, numpy) if numpy else _by_steps(manager, data)


def suits(manager: FrameManager, data: bytes | bytearray, profile: ListProfile) -> bool:
    """Whether the array is read whole and laid out in the one way that is decoded in bulk."""
    if manager.unkept & {"free_count", "ranges"} or profile.node.parts:
        return False
    address, previous = profile.node.members["address"], profile.node.members["previous"]
    layout = [address.offset_bytes, address.size_bytes, previous.offset_bytes, previous.size_bytes]
    whole = len(data) == manager.node_count * profile.node.size_bytes
    return whole and layout == [0, 8, 8, 8] and profile.node.size_bytes == 8 * _NODE_WORDS


def _by_steps(manager: FrameManager, data: bytes | bytearray) -> SoundFrames | None:
    """With the standard library alone: what can be asked of all nodes first, then the list link by link."""
    words = array("Q")
    words.frombytes(data)
    nodes, count = manager.nodes, manager.node_count
    link_of = words[1::_NODE_WORDS]  # followed in any order, so that what is packed is soon read
    addresses, links = words[::_NODE_WORDS].tolist(), link_of.tolist()
    owned = range(0, count * PAGE_BYTES, PAGE_BYTES)
    free = bytes(map(bool, addresses))
    if any(compress(map(ne, addresses, owned), free)):
        return None  # a node names another frame
    linked = free.count(1)
    if linked != manager.free_count or not _managed(manager, free):
        return None
    if nodes % 16 or data[8::16].translate(_IN_A_NODE).count(1):
        return None  # a link into the middle of a node
    lowest = min(filter(None, links), default=nodes)
    if lowest < nodes or max(links, default=0) >= nodes + 16 * count:
        return None
    # Nobody but free nodes links: so a list that is as long as they are many holds each of them once.
    if any(compress(links, free.translate(_OTHERS))):
        return None
    if not linked:
        return SoundFrames(0, free) if not manager.free_list else None
    if nodes <= 16 * count:  # from null, it would be a place counted from the array's end
        link_of = array("Q", [link or U64_MASK for link in links])
    at = int(manager.free_list)
    if at % 16 or not nodes <= at < nodes + 16 * count:
        return None
    try:
        for _ in repeat(None, linked - 1):
            at = link_of[(at - nodes) >> 4]
        last = (at - nodes) >> 4
        return SoundFrames(linked, free) if free[last] and not links[last] else None
    except IndexError:
        return None


def _managed(manager: FrameManager, free: bytes) -> bool:
    """Whether no frame outside the managed ranges is free."""
    at = 0
    for start, end in sorted(manager.ranges):
        if start % PAGE_BYTES or end % PAGE_BYTES:
            return False
        if free.find(1, at, max(at, start // PAGE_BYTES)) >= 0:
            return False
        at = max(at, end // PAGE_BYTES)
    return free.find(1, at) < 0


def _by_arrays(manager: FrameManager, data: bytes | bytearray, numpy: ModuleType) -> SoundFrames | None:
    """All nodes at once."""
    count = manager.node_count
    words = numpy.frombuffer(data, dtype="<u8").reshape(count, _NODE_WORDS)
    addresses, previous = words[:, 0], words[:, 1]
    free = addresses != 0
    numbers = numpy.flatnonzero(free)
    linked = len(numbers)
    if linked != manager.free_count or not numpy.array_equal(
        addresses[numbers], numbers.astype("<u8") * PAGE_BYTES
    ):
        return None
    proved: bytes = free.tobytes()
    if not _managed(manager, proved):
        return None
    if not linked:
        return SoundFrames(0, proved) if not manager.free_list else None
    links = previous[numbers]
    offsets = links - numpy.uint64(manager.nodes)  # a link below the array wraps to far beyond it
    last = links == 0
    inside = (offsets < count * 16) & (offsets & numpy.uint64(15) == 0)
    head = manager.free_list - manager.nodes
    if numpy.count_nonzero(last) != 1 or not (inside | last).all():
        return None
    if not 0 <= head < count * 16 or head % 16 or not free[head // 16]:
        return None
    # Where each free node leads: its number among all, the one past the end for the last.
    follow = numpy.full(count + 1, count, dtype=numpy.int64)
    targets = numpy.where(last, count, (offsets >> numpy.uint64(4)).astype(numpy.int64))
    follow[numbers] = targets
    # Nobody is linked twice, the head by nobody, and only free nodes: what is left are one path, and cycles.
    into = numpy.bincount(targets, minlength=count + 1)[:count]
    if into.max() > 1 or into[head // 16] or (into.astype(bool) & ~free).any():
        return None
    reached = _path_length(follow, head // 16, count, numbers, numpy)
    return SoundFrames(linked, proved) if reached == linked else None


def _path_length(follow: Any, head: int, end: int, numbers: Any, numpy: ModuleType) -> int:
    """Nodes on the path from `head` to `end`, in a graph in which nobody is entered twice."""
    cuts = numpy.unique(numpy.append(numbers[:: max(1, _spacing(len(numbers)))], head))
    is_cut = numpy.zeros(end + 1, dtype=bool)
    is_cut[cuts] = True
    is_cut[end] = True
    at, lengths = follow[cuts], numpy.ones(len(cuts), dtype=numpy.int64)
    walking = numpy.flatnonzero(~is_cut[at])
    arrived = at.copy()
    here = at[walking]
    steps = 1
    while len(walking):
        here = follow[here]
        steps += 1
        done = is_cut[here]
        if done.any():
            finished = walking[done]
            arrived[finished] = here[done]
            lengths[finished] = steps
            walking, here = walking[~done], here[~done]
    number_of = dict(zip(cuts.tolist(), range(len(cuts)), strict=True))
    destination, length = arrived.tolist(), lengths.tolist()
    place, total = head, 0
    for _ in range(len(cuts)):
        number = number_of[place]
        total += length[number]
        place = destination[number]
        if place == end:
            return int(total)
    return -1


def _spacing(nodes: int) -> int:
    """How far apart cuts are: more of them cost each step more, fewer make the longest stretch longer."""
    return max(1, nodes // max(16, min(_NODES_A_CUT * 16, nodes // _NODES_A_CUT * 2)))
