"""The variables that the boot fixed for good, with the memory map and what the trace says of itself."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from coronel_gdb.errors import CoronelError, KernelError, ReadFault
from coronel_gdb.lift.boot_map import read_map
from coronel_gdb.lift.frames import manager_at
from coronel_gdb.lift.pointer import image_u64
from coronel_gdb.lift.space import AddressSpace
from coronel_gdb.profiles.schema import ResolvedProfile
from coronel_gdb.protocols import Target
from model.address_space import linear, linear_physical
from model.invariants.boot import BootMap, Placed, Ring, placed_by
from model.layouts import TRACE_RECORD
from model.records import FrameManager
from model.types import VirtualAddress


@dataclass(frozen=True, slots=True)
class BootVariables:
    """Role → address and value of each variable; memory map, description of the trace, what both place.

    `end` is where the placement area ends, as at least two of its three witnesses have it: the memory map
    with the trace's capacity, `__placement`, and the end of the nodes of all frames. `manager` is the frame
    manager where the boot placed it, None where that cannot be read. `locked` is the trace's lock.
    """

    variables: Mapping[str, tuple[int, int]]
    map: BootMap
    ring: Ring
    placed: Placed
    end: int
    manager: FrameManager | None
    locked: int


def read_boot_variables(
    target: Target, space: AddressSpace, profile: ResolvedProfile
) -> BootVariables | None:
    """All of it; None before the boot has fixed them. `KernelError` for a kernel that is not made so."""
    found = {role: _variable(target, space, name) for role, name in _names(profile).items()}
    boot = read_map(target, space, profile)
    address, values = _ring(target, space, profile)
    if not (found["kernel_directory"][1] or found["heap"][1] or values["next"]):
        return None
    if not found["heap"][1] and not values["next"]:
        del found["heap"]  # the last step of the boot
    placed = placed_by(boot, values["capacity"])
    manager = _manager(space, profile, placed)
    placement = found["placement"][1]
    nodes = manager and linear_physical(manager.nodes) + manager.node_count * profile.frames.node.size_bytes
    end = placement if placement == nodes else placed.end
    ring = Ring(address, values["ring"], values["capacity"], values["next"])
    try:
        newest, following = (_record(space, values, values["next"] - back) for back in (1, 0))
        ring = replace(ring, newest=newest, following=following)
    except ReadFault:
        ring = replace(ring, unread=True)
    return BootVariables(found, boot, ring, placed, end, manager, values["locked"])


def _names(profile: ResolvedProfile) -> dict[str, str]:
    names = {
        "frames": profile.frames.pointer,
        "regions": profile.regions.pointer,
        "heap": profile.heap.pointer,
    }
    for role in ("placement", "kernel_directory"):
        if role not in profile.image:
            raise KernelError(f"the profile {profile.name} names no variable for {role}")
        names[role] = profile.image[role]
    return names


def _variable(target: Target, space: AddressSpace, name: str) -> tuple[int, int]:
    address = target.symbol(name)
    if address is None:
        raise KernelError(f"the kernel has no symbol {name}")
    return int(address), image_u64(space, address)


def _ring(target: Target, space: AddressSpace, profile: ResolvedProfile) -> tuple[int, dict[str, int]]:
    variable = profile.ring
    address = target.symbol(variable.symbol) if variable else None
    if variable is None or address is None:
        raise KernelError("the kernel has no trace")
    return int(address), variable.structure.decode(space.read(address, variable.structure.size_bytes))


def _manager(space: AddressSpace, profile: ResolvedProfile, placed: Placed) -> FrameManager | None:
    """The frame manager where the boot placed it, whatever the pointer to it says by now."""
    try:
        return manager_at(linear(placed.frames), space, profile.frames)
    except CoronelError:
        return None


def _record(space: AddressSpace, values: Mapping[str, int], number: int) -> int | None:
    """The sequence number in the place of a record; None where that is empty; `ReadFault`."""
    capacity = values["capacity"]
    if number < 0 or not capacity:
        return None
    at = values["ring"] + number % capacity * TRACE_RECORD.size_bytes
    data = space.read(VirtualAddress(at % (1 << 64)), TRACE_RECORD.size_bytes)
    return TRACE_RECORD.read(data, "sequence") if TRACE_RECORD.read(data, "what") else None
