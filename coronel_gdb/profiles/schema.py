"""A profile as it stands in its TOML file, and as it is after the kernel's types were looked up."""

import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from model.layouts import Layout, Member
from model.records import HeapRules

Unpack = Callable[[bytes | bytearray | memoryview, int], tuple[int, ...]]
"""The values of a structure that begins at an offset of the data."""

_CODES = {1: "B", 2: "H", 4: "I", 8: "Q"}


@dataclass(frozen=True, slots=True)
class Profile:
    """One TOML file: `match` are the symbols a kernel must have, the rest is by noun and role."""

    name: str
    match: tuple[str, ...]
    sections: Mapping[str, Mapping[str, object]]

    def text(self, section: str, key: str) -> str:
        """The string at `section.key`."""
        return str(self.sections[section][key])

    def number(self, section: str, key: str) -> int:
        """The integer at `section.key`."""
        value = self.sections[section][key]
        return value if isinstance(value, int) else int(str(value), 0)

    def fields(self, section: str, key: str = "fields") -> dict[str, str]:
        """Role → the kernel's field name."""
        table = self.sections[section][key]
        return {str(role): str(name) for role, name in table.items()} if isinstance(table, dict) else {}


class Structure:
    """A kernel structure seen through roles; decodes all scalar roles of one instance at once."""

    def __init__(self, layout: Layout, fields: Mapping[str, str]) -> None:
        self.name = layout.name
        self.size_bytes = layout.size_bytes
        self.members: dict[str, Member] = {role: layout.member(name) for role, name in fields.items()}
        scalars = sorted(
            ((member, role) for role, member in self.members.items() if member.count == 1),
            key=lambda pair: pair[0].offset_bytes,
        )
        self._roles = [role for _, role in scalars]
        form, at = "<", 0
        for member, _ in scalars:
            form += f"{member.offset_bytes - at}x{_CODES[member.size_bytes]}"
            at = member.end_bytes
        self._unpack = struct.Struct(form + f"{layout.size_bytes - at}x").unpack_from

    def decode(self, data: bytes | bytearray | memoryview, base: int = 0) -> dict[str, int]:
        """Role → value of every scalar field of the instance at `data[base]`."""
        return dict(zip(self._roles, self._unpack(data, base), strict=True))

    def unpacker(self, roles: Sequence[str]) -> Unpack:
        """What unpacks the scalar fields in these roles, which stand in order of offset, alone."""
        form, at = "<", 0
        for role in roles:
            member = self.members[role]
            form += f"{member.offset_bytes - at}x{_CODES[member.size_bytes]}"
            at = member.end_bytes
        return struct.Struct(form).unpack_from

    def array(self, data: bytes, role: str) -> tuple[int, ...]:
        """All integers of the array field in that role."""
        member = self.members[role]
        return struct.unpack_from(f"<{member.count}{_CODES[member.size_bytes]}", data, member.offset_bytes)

    def offset(self, role: str) -> int:
        """Offset in bytes of the field in that role."""
        return self.members[role].offset_bytes


@dataclass(frozen=True, slots=True)
class HeapProfile:
    """How the kernel heap is laid out; `pointer` is the symbol of the pointer to it."""

    pointer: str
    heap: Structure
    block: Structure
    rules: HeapRules


@dataclass(frozen=True, slots=True)
class ListProfile:
    """How a manager and the nodes of its free list are laid out: frames, or virtual regions."""

    pointer: str
    manager: Structure
    node: Structure


@dataclass(frozen=True, slots=True)
class ProcessProfile:
    """How processes are laid out; `head` is the symbol of the pointer to the first one."""

    head: str
    process: Structure


@dataclass(frozen=True, slots=True)
class BootMapProfile:
    """How the kernel keeps the memory map of its boot; `symbol` is the object itself."""

    symbol: str
    structure: Structure


@dataclass(frozen=True, slots=True)
class ResolvedProfile:
    """A profile with the kernel's own layouts; `source` says where those come from.

    A kernel need not have processes: then `processes` is None and `no_processes` says why. `image` are
    symbols by their role. `structures` are those of the specification as the kernel's DWARF has them, None
    when there is none. `trace` and `notes` (symbol → bytes) record the past: no block is in use by them.
    `activity` are symbols of words that are not 0 while something is changed, and what that is.
    """

    name: str
    source: str
    heap: HeapProfile
    frames: ListProfile
    regions: ListProfile
    processes: ProcessProfile | None = None
    no_processes: str = ""
    boot_map: BootMapProfile | None = None
    image: Mapping[str, str] = field(default_factory=dict)
    structures: Mapping[str, Layout] | None = None
    trace: str = ""
    notes: Mapping[str, int] = field(default_factory=dict)
    activity: Mapping[str, str] = field(default_factory=dict)
