"""From the kernel's pointer variable to the object it refers to."""

from coronel_gdb.errors import KernelError, NotInitialised, ReadFault
from coronel_gdb.lift.space import AddressSpace
from coronel_gdb.profiles.schema import Section
from coronel_gdb.protocols import Target
from model.address_space import linear_physical
from model.types import VirtualAddress


def pointer(target: Target, space: AddressSpace, symbol: str, noun: str) -> VirtualAddress:
    """The object that the pointer variable `symbol` refers to; `NotInitialised` when it is null."""
    variable = target.symbol(symbol)
    address = space.read_u64(variable) if variable is not None else 0
    if not address:
        raise NotInitialised(noun, symbol)
    return VirtualAddress(address)


def located(target: Target, space: AddressSpace, section: Section, noun: str) -> VirtualAddress:
    """The object of a profile's section; `NotInitialised` as above, `KernelError` without its symbol."""
    if not section.is_object:
        return pointer(target, space, section.symbol, noun)
    address = target.symbol(section.symbol)
    if address is None:
        raise KernelError(f"no {noun} here: the kernel has no symbol {section.symbol}")
    return address


def image_u64(space: AddressSpace, variable: VirtualAddress) -> int:
    """A variable of the image, which lies where it was loaded (docs/spec.md §1.1) whatever the tables say.

    `ReadFault` when it is not there either.
    """
    try:
        return space.read_u64(variable)
    except ReadFault:
        return int.from_bytes(space.memory.read(linear_physical(variable), 8), "little")
