"""What the stopped kernel is in the middle of: structures that need not fit together at this moment.

A lock that is held, or a change of a process that is under way (docs/spec.md §8.2, §14.8), is no
corruption. Commands that hold one structure against another ask here first.
"""

from coronel_gdb.errors import CoronelError
from coronel_gdb.lift.space import AddressSpace
from coronel_gdb.profiles.schema import ResolvedProfile
from coronel_gdb.protocols import Target
from model.types import VirtualAddress

A_PROCESS = "a process"
"""What a profile calls the list of processes or the memory of one."""
_U32 = 4


def under_way(target: Target, space: AddressSpace, profile: ResolvedProfile) -> tuple[str, ...]:
    """What is being changed, in words; empty for a kernel at rest.

    What cannot be read is not under way: whoever needs it will say that it cannot be read.
    """
    busy = [
        noun
        for noun, pointer, structure in (
            ("kernel heap", profile.heap.pointer, profile.heap.heap),
            ("virtual manager", profile.regions.pointer, profile.regions.manager),
            ("frame manager", profile.frames.pointer, profile.frames.manager),
        )
        if "locked" in structure.members and _is_locked(target, space, pointer, structure.offset("locked"))
    ]
    busy += [noun for symbol, noun in profile.activity.items() if _word(target, space, symbol)]
    return tuple(busy)


def _is_locked(target: Target, space: AddressSpace, pointer: str, offset_bytes: int) -> bool:
    variable = target.symbol(pointer)
    if variable is None:
        return False
    try:
        address = space.read_u64(variable)
        return address != 0 and _read(space, address + offset_bytes) != 0
    except CoronelError:
        return False


def _word(target: Target, space: AddressSpace, symbol: str) -> int:
    variable = target.symbol(symbol)
    try:
        return 0 if variable is None else _read(space, variable)
    except CoronelError:
        return 0


def _read(space: AddressSpace, address: int) -> int:
    return int.from_bytes(space.read(VirtualAddress(address), _U32), "little")
