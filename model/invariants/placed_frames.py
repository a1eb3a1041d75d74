"""Invariants of a list of free frames whose nodes lie anywhere, each placed for one frame (older kernels)."""

from collections.abc import Sequence
from typing import Final

from model.invariants.base import Invariant, Verdict, Violation
from model.invariants.frames import COUNT, CYCLE, END, MANAGED
from model.records import FrameManager, FrameNode
from model.types import PAGE_BYTES, is_aligned

PAGE: Final = Invariant(
    "placed_frames.page", "address is a multiple of 4096", "a node stands for one free frame"
)
ONCE: Final = Invariant(
    "placed_frames.once", "no two nodes name one frame", "who frees a frame twice hands it out twice"
)

OWN: Final = (PAGE, ONCE)
ALL: Final = (PAGE, MANAGED, ONCE, CYCLE, COUNT, END)
_PER_NODE: Final = 3


def check_placed_frames(manager: FrameManager, nodes: Sequence[FrameNode], *, stop: int = 0) -> Verdict:
    """Judge the list: `nodes` in list order, each once; `stop` is the pointer at which they ended."""
    verdict = Verdict()
    verdict.unkept = [
        (rule, field)
        for rule, field in ((MANAGED, "ranges"), (COUNT, "free_count"))
        if field in manager.unkept
    ]
    for edge in (edge for pair in manager.ranges for edge in pair if not is_aligned(edge, PAGE_BYTES)):
        because = "what is managed is whole pages"
        verdict.violations.append(Violation(MANAGED, manager.address, "ranges", edge, None, because))
    first: dict[int, FrameNode] = {}
    for node in nodes:
        found = _frame_violation(manager, node)
        if found is not None:
            verdict.violations.append(found)
            continue
        other = first.setdefault(node.address, node)
        if other is not node:
            because = f"node {other.node:#x} names it, too"
            verdict.violations.append(Violation(ONCE, node.node, "address", node.address, None, because))
    _check_end(manager, nodes, stop, verdict)
    verdict.evaluated = _PER_NODE * len(nodes) + len(ALL) - _PER_NODE
    verdict.evaluated -= len(verdict.unchecked) + len(verdict.unkept)
    return verdict


def _frame_violation(manager: FrameManager, node: FrameNode) -> Violation | None:
    """What is wrong with the frame that a node names."""
    if not is_aligned(node.address, PAGE_BYTES):
        return Violation(PAGE, node.node, "address", node.address, None, "")
    managed = "ranges" in manager.unkept or any(start <= node.address < end for start, end in manager.ranges)
    if not managed:
        because = "no managed range holds that frame"
        return Violation(MANAGED, node.node, "address", node.address, None, because)
    return None


def _check_end(manager: FrameManager, nodes: Sequence[FrameNode], stop: int, verdict: Verdict) -> None:
    """Where the list ends, and how many nodes it has."""
    if not stop:
        if "free_count" not in manager.unkept and manager.free_count != len(nodes):
            because = f"{len(nodes)} nodes are listed"
            found = manager.free_count
            verdict.violations.append(
                Violation(COUNT, manager.address, "free_count", found, len(nodes), because)
            )
        return
    last = nodes[-1].node if nodes else manager.address
    again = any(node.node == stop for node in nodes)
    because = "it is in the list already: the list is a cycle" if again else "no node can be read there"
    field = "previous" if nodes else "free_list"
    verdict.violations.append(Violation(CYCLE if again else END, last, field, stop, None, because))
    if "free_count" not in manager.unkept:
        verdict.unchecked.append((COUNT, "the list could not be followed to its end"))
