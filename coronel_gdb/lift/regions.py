"""The list of free virtual regions as records."""

from dataclasses import dataclass, field

from coronel_gdb.errors import ReadFault
from coronel_gdb.lift.pointer import pointer
from coronel_gdb.lift.space import AddressSpace
from coronel_gdb.profiles.schema import ListProfile
from coronel_gdb.protocols import Target
from model.records import Region, RegionManager
from model.types import VirtualAddress


@dataclass(slots=True)
class LiftedRegions:
    """The manager, its regions in list order, and the pointer at which following them stopped (0: null)."""

    manager: RegionManager
    regions: list[Region] = field(default_factory=list)
    stop: int = 0


def lift_regions(target: Target, space: AddressSpace, profile: ListProfile) -> LiftedRegions:
    """Read the free list of the kernel's virtual manager; `NotInitialised`, `ReadFault` as for the heap."""
    address = pointer(target, space, profile.pointer, "virtual manager")
    data = space.read(address, profile.manager.size_bytes)
    values = profile.manager.decode(data)
    manager = RegionManager(
        address=address,
        first=VirtualAddress(values["first"]),
        last=VirtualAddress(values["last"]),
        count=values["count"],
        spare=VirtualAddress(values["spare"]),
        spare_count=values["spare_count"],
        start=VirtualAddress(values["start"]),
        end=VirtualAddress(values["end"]),
        errors=profile.manager.array(data, "errors"),
        locked=values["locked"],
    )
    lifted = LiftedRegions(manager)
    seen: set[int] = set()
    at = int(manager.first)
    while at:
        try:
            raw = None if at in seen else space.read(VirtualAddress(at), profile.node.size_bytes)
        except ReadFault:
            raw = None
        if raw is None:
            lifted.stop = at
            break
        seen.add(at)
        node = profile.node.decode(raw)
        lifted.regions.append(
            Region(
                VirtualAddress(at),
                VirtualAddress(node["start"]),
                node["size"],
                VirtualAddress(node["next"]),
                VirtualAddress(node["prev"]),
            )
        )
        at = node["next"]
    return lifted
