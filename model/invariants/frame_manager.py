"""Invariants of what the frame manager was set up with (docs/spec.md §4), by the memory map of the boot."""

from collections.abc import Sequence
from typing import Final

from model.address_space import linear
from model.invariants.base import Invariant, Violation
from model.memory import PhysicalRange
from model.records import FrameManager
from model.types import PAGE_BYTES, PhysicalAddress

MEMORY_END: Final = Invariant(
    "frame_manager.end", "physical_end_ = end of the highest RAM region", "§4.4: fixed at boot"
)
NODE_COUNT: Final = Invariant(
    "frame_manager.node_count", "node_count_ = physical_end_ / 4096", "§4.4: a node for every frame number"
)
NODES: Final = Invariant(
    "frame_manager.nodes",
    "nodes_ is the last allocation of the placement area",
    "§9 step 7: then the placement allocator is sealed",
)
RANGES: Final = Invariant(
    "frame_manager.ranges",
    "ranges_ are the managed ranges in descending order, what is behind them 0",
    "§4.3, §4.5: RAM without image, placement area and reserved ranges",
)

ALL: Final = (MEMORY_END, NODE_COUNT, NODES, RANGES)

_MOST_RANGES: Final = 32


def check_manager(
    manager: FrameManager,
    slots: Sequence[tuple[int, int]],
    range_count: int,
    boot: tuple[Sequence[PhysicalRange], Sequence[PhysicalRange]],
    placement: int,
    node_bytes: int,
) -> list[Violation]:
    """Judge the fields that never change; `slots` are all of `ranges_`, `boot` RAM and reserved ranges.

    `placement` is the value of `__placement`, physical.
    """
    ram, reserved = boot
    violations = []

    def judge(invariant: Invariant, name: str, found: int, expected: int, because: str) -> None:
        if found != expected:
            violations.append(Violation(invariant, manager.address, name, found, expected, because))

    end = max((int(region.end) for region in ram), default=0)
    judge(MEMORY_END, "physical_end", manager.physical_end, end, "the memory map ends there")
    judge(NODE_COUNT, "node_count", manager.node_count, end // PAGE_BYTES, f"memory ends at {end:#x}")
    nodes = linear(placement - end // PAGE_BYTES * node_bytes)
    judge(NODES, "nodes", manager.nodes, nodes, f"the placement area ends at {placement:#x}")
    wanted = managed(ram, reserved, placement)[:_MOST_RANGES]
    judge(RANGES, "range_count", range_count, len(wanted), "by the memory map of the boot")
    for index, found in enumerate(slots):
        start, stop = wanted[index] if index < len(wanted) else (0, 0)
        judge(RANGES, f"ranges[{index}].start", found[0], start, "by the memory map of the boot")
        judge(RANGES, f"ranges[{index}].end", found[1], stop, "by the memory map of the boot")
    return violations


def managed(
    ram: Sequence[PhysicalRange], reserved: Sequence[PhysicalRange], placement: int
) -> list[tuple[int, int]]:
    """The managed ranges (§4.3), the highest first."""
    lowest = -(-placement // PAGE_BYTES) * PAGE_BYTES
    taken = sorted([PhysicalRange(PhysicalAddress(0), PhysicalAddress(lowest)), *reserved])
    found: list[tuple[int, int]] = []
    for region in sorted(ram):
        at = int(region.start)
        for hole in taken:
            if hole.start < region.end and at < hole.end:
                if at < hole.start:
                    found.append((at, int(hole.start)))
                at = max(at, int(hole.end))
        if at < region.end:
            found.append((at, int(region.end)))
    return found[::-1]
