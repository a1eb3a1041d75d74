"""Structures in memory: fields read and written where docs/spec.md §10 puts them."""

import struct
from typing import Final

from model.layouts import Layout, Member
from model.memory import VirtualMemory
from model.types import VirtualAddress

_CODES: Final = {1: "B", 2: "H", 4: "I", 8: "Q"}


def decoder(layout: Layout, *names: str) -> struct.Struct:
    """What unpacks the named fields of a whole structure, in the order of their offsets."""
    parts, position = ["<"], 0
    for member in sorted((layout.member(name) for name in names), key=lambda member: member.offset_bytes):
        parts.append(f"{member.offset_bytes - position}x{member.count}{_CODES[member.size_bytes]}")
        position = member.end_bytes
    parts.append(f"{layout.size_bytes - position}x")
    return struct.Struct("".join(parts))


class Structure:
    """The structure of a layout at a virtual address; it holds no value itself."""

    def __init__(self, memory: VirtualMemory, layout: Layout, address: VirtualAddress) -> None:
        self.memory: Final = memory
        self.address: Final = address
        self._members: Final[dict[str, Member]] = {member.name: member for member in layout.members}

    def __contains__(self, name: str) -> bool:
        return name in self._members

    def field_address(self, name: str, index: int = 0) -> VirtualAddress:
        """Where element `index` of field `name` lies."""
        member = self._members[name]
        return VirtualAddress(self.address + member.offset_bytes + index * member.size_bytes)

    def get(self, name: str, index: int = 0) -> int:
        """The value of a field, or of one element of an array."""
        size = self._members[name].size_bytes
        return int.from_bytes(self.memory.read(self.field_address(name, index), size), "little")

    def set(self, name: str, value: int, index: int = 0) -> None:
        """Write a field, or one element of an array: modulo its size, as the kernel's arithmetic is."""
        size = self._members[name].size_bytes
        low_bits = value & ((1 << 8 * size) - 1)
        self.memory.write(self.field_address(name, index), low_bits.to_bytes(size, "little"))

    def add(self, name: str, delta: int, index: int = 0) -> None:
        """Add to a field, modulo its size."""
        self.set(name, self.get(name, index) + delta, index)
