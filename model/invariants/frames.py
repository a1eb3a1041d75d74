"""Invariants of the free-frame list (docs/spec.md §4): one manager, its nodes in list order."""

from collections.abc import Iterable, Sequence
from typing import Final

from model.invariants.base import Invariant, Verdict, Violation
from model.records import FrameManager, FrameNode
from model.types import PAGE_BYTES, is_aligned

NODE_PLACE: Final = Invariant(
    "frames.node", "a node lies in nodes_, on a node boundary", "§4.4: nodes are the elements of one array"
)
NODE_OWNER: Final = Invariant(
    "frames.address", "node.address = 4096 × index of the node", "§4.4: a frame owns one node for ever"
)
MANAGED: Final = Invariant(
    "frames.managed",
    "a free frame lies in a managed range",
    "§4.3: kernel, placement, multiboot and devices never do",
)
CYCLE: Final = Invariant("frames.cycle", "no node is in the list twice", "§4.7: a frame is free once")
COUNT: Final = Invariant(
    "frames.free_count", "free_count_ = nodes in the list", "§4.6–4.7: counted with each change"
)
LOST: Final = Invariant(
    "frames.lost", "a node with an address is in the list", "§4.4: any other node is {0, null}"
)
LINK: Final = Invariant(
    "frames.previous", "previous is the free node that follows", "§4.6–4.7: every free node is linked once"
)
END: Final = Invariant("frames.end", "the list ends with null", "§4.4")

ALL: Final = (NODE_PLACE, NODE_OWNER, MANAGED, CYCLE, COUNT, LOST, LINK, END)


def check_frames(
    manager: FrameManager,
    nodes: Iterable[FrameNode],
    node_bytes: int,
    *,
    stop: int = 0,
    listed_elsewhere: Iterable[FrameNode] = (),
) -> Verdict:
    """Judge the list: `nodes` in list order, each once; `stop` is the pointer at which following them ended.

    `stop` is 0 for a list that ends with null. `listed_elsewhere` are the nodes outside the list whose
    address field is not 0.
    """
    verdict = Verdict()
    verdict.unkept = [
        (rule, field)
        for rule, field in ((MANAGED, "ranges"), (COUNT, "free_count"))
        if field in manager.unkept
    ]
    listed = list(nodes)
    count = len(listed)
    last_node = listed[-1].node if listed else 0
    first, whole = int(manager.nodes), manager.node_count * node_bytes
    low = high = 0  # the managed range that held the frame before: most lists go on in it
    if "ranges" in manager.unkept:
        high = 1 << 64
    for number, node in enumerate(listed):
        offset = node.node - first
        if low <= node.address < high and 0 <= offset < whole and offset == _place(node, node_bytes):
            continue
        if not (0 <= offset < whole and offset % node_bytes == 0):
            because = f"nodes_ is at {manager.nodes:#x}"
            verdict.violations += [
                Violation(NODE_PLACE, node.node, "node", node.node, None, because),
                _leading(manager, listed[number - 1] if number else None, node),
            ]
        elif node.address != offset // node_bytes * PAGE_BYTES:
            index = offset // node_bytes
            verdict.violations.append(
                Violation(
                    NODE_OWNER, node.node, "address", node.address, index * PAGE_BYTES, f"it is node {index}"
                )
            )
        elif "ranges" not in manager.unkept:
            held = [(start, end) for start, end in manager.ranges if start <= node.address < end]
            if held:
                low, high = held[0]
                continue
            verdict.violations.append(
                Violation(
                    MANAGED, node.node, "address", node.address, None, "no managed range holds that frame"
                )
            )
    if stop:
        if any(node.node == stop for node in listed):
            because = "it is in the list already: the list is a cycle"
            verdict.violations.append(Violation(CYCLE, last_node, "previous", stop, None, because))
        else:
            kind = "not aligned" if not is_aligned(stop, 8) else "no readable node"
            verdict.violations.append(
                Violation(
                    END,
                    last_node or manager.address,
                    "previous" if last_node else "free_list",
                    stop,
                    None,
                    kind,
                )
            )
        verdict.unchecked.append((COUNT, "the list could not be followed to its end"))
        verdict.unchecked.append((LOST, "the list could not be followed to its end"))
    else:
        if "free_count" not in manager.unkept and manager.free_count != count:
            verdict.violations.append(
                Violation(
                    COUNT,
                    manager.address,
                    "free_count",
                    manager.free_count,
                    count,
                    f"{count} nodes are listed",
                )
            )
        lost = list(listed_elsewhere)
        verdict.violations += _skipped(manager, listed, lost)
        verdict.violations += [
            Violation(LOST, node.node, "address", node.address, 0, "no node of the list points to it")
            for node in lost
        ]
    verdict.evaluated = _evaluated(count) - len(verdict.unchecked) - len(verdict.unkept)
    return verdict


def _place(node: FrameNode, node_bytes: int) -> int:
    """Where the node of that address lies in the array; −1 for an address of no frame."""
    return -1 if node.address % PAGE_BYTES else node.address // PAGE_BYTES * node_bytes


def _leading(manager: FrameManager, before: FrameNode | None, node: FrameNode) -> Violation:
    """The link that leads to what is no node."""
    because = "no node lies there"
    if before is None:
        return Violation(NODE_PLACE, manager.address, "free_list", node.node, None, because)
    return Violation(NODE_PLACE, before.node, "previous", node.node, None, because)


def _skipped(
    manager: FrameManager, listed: Sequence[FrameNode], lost: Sequence[FrameNode]
) -> list[Violation]:
    """Where a list leaves nodes out: the node that leads to what the last of those lost leads to as well."""
    linked = {node.previous for node in lost} | {node.previous for node in listed}
    heads = [node for node in lost if node.node not in linked]
    if len(heads) != 1:
        return []
    by_place, seen = {node.node: node for node in lost}, {heads[0].node}
    at = heads[0].previous
    while at in by_place and at not in seen:
        seen.add(at)
        at = by_place[at].previous
    head, because = heads[0].node, f"{len(seen)} free nodes from {heads[0].node:#x} on are left out"
    if manager.free_list == at:
        return [Violation(LINK, manager.address, "free_list", at, head, because)]
    before = next((node for node in listed if node.previous == at), None)
    return [Violation(LINK, before.node, "previous", at, head, because)] if before is not None else []


def sound_verdict(count: int) -> Verdict:
    """The verdict over a list of `count` nodes of which everything was proved."""
    return Verdict(evaluated=_evaluated(count))


def _evaluated(count: int) -> int:
    """What is asked of every node, and once of the list."""
    return 3 * count + len(ALL) - 3
