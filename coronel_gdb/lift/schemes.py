"""How each scheme of a profile's section is read: one row a scheme; what is not here cannot be lifted.

The verdict is the lifted object's own: a scheme with other invariants lifts to a class of its own.
"""

from collections.abc import Callable
from dataclasses import dataclass

from coronel_gdb.lift.frames import LiftedFrames, follow_frames, read_manager
from coronel_gdb.lift.heap import LiftedHeap, lift_heap, read_heap
from coronel_gdb.lift.placed_frames import follow_placed_frames, read_placed_manager
from coronel_gdb.lift.regions import LiftedRegions, lift_regions
from coronel_gdb.lift.space import AddressSpace
from coronel_gdb.profiles.schema import HeapProfile, ListProfile
from coronel_gdb.protocols import Target
from model.records import FrameManager, Heap


@dataclass(frozen=True, slots=True)
class HeapScheme:
    """`read` gives the heap object, `lift` its blocks."""

    read: Callable[[Target, AddressSpace, HeapProfile], Heap]
    lift: Callable[[AddressSpace, Heap, HeapProfile], LiftedHeap]


@dataclass(frozen=True, slots=True)
class FrameScheme:
    """`read` gives the manager of frames, `lift` its list."""

    read: Callable[[Target, AddressSpace, ListProfile], FrameManager]
    lift: Callable[[FrameManager, AddressSpace, ListProfile], LiftedFrames]


def _quick_heap(space: AddressSpace, heap: Heap, profile: HeapProfile) -> LiftedHeap:
    return lift_heap(space, heap, profile, careful=False)


HEAPS = {"coronel": HeapScheme(read_heap, _quick_heap)}
FRAMES = {
    "coronel": FrameScheme(read_manager, follow_frames),
    "placed_nodes": FrameScheme(read_placed_manager, follow_placed_frames),
}
REGIONS: dict[str, Callable[[Target, AddressSpace, ListProfile], LiftedRegions]] = {"coronel": lift_regions}


def read_any_heap(target: Target, space: AddressSpace, profile: HeapProfile) -> Heap:
    """The heap object by its profile's scheme; `NotInitialised`, `ReadFault` as they say."""
    return HEAPS[profile.section.scheme].read(target, space, profile)


def lift_any_heap(space: AddressSpace, heap: Heap, profile: HeapProfile) -> LiftedHeap:
    """The blocks by the profile's scheme; unreadable memory is a hole."""
    return HEAPS[profile.section.scheme].lift(space, heap, profile)


def lift_any_frames(target: Target, space: AddressSpace, profile: ListProfile) -> LiftedFrames:
    """The list of free frames by the profile's scheme."""
    scheme = FRAMES[profile.section.scheme]
    return scheme.lift(scheme.read(target, space, profile), space, profile)


def lift_any_regions(target: Target, space: AddressSpace, profile: ListProfile) -> LiftedRegions:
    """The list of free regions by the profile's scheme."""
    return REGIONS[profile.section.scheme](target, space, profile)
