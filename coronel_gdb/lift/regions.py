"""The list of free virtual regions as records."""

from dataclasses import dataclass, field

from coronel_gdb.lift.pointer import located
from coronel_gdb.lift.space import AddressSpace, Pages
from coronel_gdb.profiles.schema import ListProfile, Structure
from coronel_gdb.protocols import Target
from model.records import Region, RegionManager
from model.types import VirtualAddress, is_aligned

_NODE_ALIGNMENT = 16  # §6.2, §7.1: in a page of nodes, or in a block
_MOST_NODES = 1 << 18  # twice what the kernel itself follows (§6.1)


@dataclass(slots=True)
class LiftedRegions:
    """The manager, its regions in list order, and the pointer at which following them stopped (0: null).

    `lost` says why that could not be read, where it lies in memory that the target does not have.
    """

    manager: RegionManager
    regions: list[Region] = field(default_factory=list)
    stop: int = 0
    lost: str = ""


def lift_regions(target: Target, space: AddressSpace, profile: ListProfile) -> LiftedRegions:
    """Read the free list of the kernel's virtual manager; `NotInitialised`, `ReadFault` as for the heap."""
    address = located(target, space, profile.section, "virtual manager")
    data = space.read(address, profile.manager.size_bytes)
    return lift_list(region_manager(address, data, profile.manager), space, profile.node)


def region_manager(address: VirtualAddress, data: bytes, structure: Structure) -> RegionManager:
    """The manager whose bytes are `data`; a process has one of its own inside it (§14.3)."""
    values = structure.decode(data)
    return RegionManager(
        address=address,
        first=VirtualAddress(values["first"]),
        last=VirtualAddress(values.get("last", 0)),
        count=values.get("count", 0),
        spare=VirtualAddress(values.get("spare", 0)),
        spare_count=values.get("spare_count", 0),
        start=VirtualAddress(values.get("start", 0)),
        end=VirtualAddress(values.get("end", 0)),
        errors=structure.array(data, "errors"),
        locked=values.get("locked", 0),
        unkept=structure.unnamed(RegionManager.__slots__),
    )


def lift_spares(manager: RegionManager, space: AddressSpace, structure: Structure) -> LiftedRegions:
    """The manager's unused nodes, followed from `spare` likewise."""
    return _follow(manager, int(manager.spare), space, structure)


def lift_list(manager: RegionManager, space: AddressSpace, structure: Structure) -> LiftedRegions:
    """The manager's free regions, followed from `first`; each node once, what cannot be read ends it."""
    return _follow(manager, int(manager.first), space, structure)


def _follow(manager: RegionManager, at: int, space: AddressSpace, structure: Structure) -> LiftedRegions:
    lifted = LiftedRegions(manager)
    seen: set[int] = set()
    pages = Pages(space)
    while at:
        fits = at not in seen and len(seen) < _MOST_NODES and is_aligned(at, _NODE_ALIGNMENT)
        raw = pages.read(at, structure.size_bytes) if fits else None
        if raw is None:
            lifted.stop = at
            lifted.lost = space.why_lost(VirtualAddress(at), structure.size_bytes) if fits else ""
            break
        seen.add(at)
        node = structure.decode(raw)
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
