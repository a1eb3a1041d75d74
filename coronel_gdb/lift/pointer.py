"""From the kernel's pointer variable to the object it refers to."""

from coronel_gdb.errors import NotInitialised
from coronel_gdb.lift.space import AddressSpace
from coronel_gdb.protocols import Target
from model.types import VirtualAddress


def pointer(target: Target, space: AddressSpace, symbol: str, noun: str) -> VirtualAddress:
    """The object that the pointer variable `symbol` refers to; `NotInitialised` when it is null."""
    variable = target.symbol(symbol)
    address = space.read_u64(variable) if variable is not None else 0
    if not address:
        raise NotInitialised(noun, symbol)
    return VirtualAddress(address)
