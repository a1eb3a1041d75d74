"""A profile as it stands in its TOML file, and as it is after the kernel's types were looked up."""

import struct
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from coronel_gdb.errors import KernelError
from model.layouts import Layout, Member
from model.records import HeapRules

Unpack = Callable[[bytes | bytearray | memoryview, int], tuple[int, ...]]
"""The values of a structure that begins at an offset of the data."""

_Part = TypeVar("_Part")
_CODES = {1: "B", 2: "H", 4: "I", 8: "Q"}


@dataclass(frozen=True, slots=True)
class Place:
    """Where a role stands: a field, of which `mask` keeps some bits and `shift` moves them down."""

    field: str
    mask: int | None = None
    shift: int = 0

    @staticmethod
    def parse(value: object) -> "Place":
        """From TOML: `"field"`, `{ field, bit }` or `{ field, mask }`; `KernelError` for anything else."""
        if isinstance(value, str):
            return Place(value)
        if isinstance(value, dict) and isinstance(value.get("field"), str):
            bit, mask = value.get("bit"), value.get("mask")
            if isinstance(bit, int) and 0 <= bit < 64 and set(value) == {"field", "bit"}:
                return Place(value["field"], 1 << bit, bit)
            if isinstance(mask, int) and 0 < mask < 1 << 64 and set(value) == {"field", "mask"}:
                return Place(value["field"], mask)
        raise KernelError(f"{value!r} is no field: a name, {{ field, bit }} or {{ field, mask }}")


@dataclass(frozen=True, slots=True)
class Profile:
    """One TOML file: `match` and `match_types` say which kernels it fits, the rest is by noun and role.

    `match_types` are sizes in bytes by type; `lacks` are sections that the kernel is known not to have;
    `specified` says that docs/spec.md is the kernel's own specification. `linear_map` is where physical 0 is
    mapped, in a kernel that maps memory without giving it to anybody by that.
    """

    name: str
    match: tuple[str, ...]
    sections: Mapping[str, Mapping[str, object]]
    match_types: Mapping[str, int] = field(default_factory=dict)
    lacks: frozenset[str] = frozenset()
    specified: bool = False
    linear_map: int | None = None

    def text(self, section: str, key: str) -> str:
        """The string at `section.key`; `KernelError` when it is not there, as in its siblings."""
        return str(self._value(section, key))

    def number(self, section: str, key: str) -> int:
        """The integer at `section.key`."""
        value = self._value(section, key)
        try:
            return value if isinstance(value, int) else int(str(value), 0)
        except ValueError as error:
            raise KernelError(f"profile {self.name}: {section}.{key} is no number: {value!r:.40}") from error

    def fields(self, section: str, key: str = "fields") -> dict[str, str]:
        """Role → the kernel's field name, of roles that are whole fields."""
        table = self.sections[section].get(key, {})
        return {str(role): str(name) for role, name in table.items()} if isinstance(table, dict) else {}

    def places(self, section: str, key: str = "fields") -> dict[str, Place]:
        """Role → where it stands; `KernelError` for a value that is no place."""
        table = self.sections[section].get(key, {})
        if not isinstance(table, dict):
            raise KernelError(f"profile {self.name}: {section}.{key} is no table of fields")
        return {str(role): Place.parse(value) for role, value in table.items()}

    def _value(self, section: str, key: str) -> object:
        try:
            return self.sections[section][key]
        except KeyError as error:
            raise KernelError(f"profile {self.name} does not say {section}.{key}") from error


class Structure:
    """A kernel structure seen through roles; decodes all scalar roles of one instance at once.

    `members` are whole fields; a role that is a part of one, as a flag is, has its bits in `parts`.
    """

    def __init__(self, layout: Layout, fields: Mapping[str, str] | Mapping[str, Place]) -> None:
        self.name = layout.name
        self.size_bytes = layout.size_bytes
        places = {role: Place(at) if isinstance(at, str) else at for role, at in fields.items()}
        self.members: dict[str, Member] = {role: layout.member(place.field) for role, place in places.items()}
        self.parts: dict[str, tuple[int, int]] = {
            role: (place.mask, place.shift) for role, place in places.items() if place.mask is not None
        }
        scalars = sorted(
            ((member, role) for role, member in self.members.items() if member.count == 1),
            key=lambda pair: pair[0].offset_bytes,
        )
        self._roles = [role for _, role in scalars]
        form, at = "<", 0
        self._apart = True
        for member, _ in scalars:
            if member.size_bytes not in _CODES:
                raise KernelError(f"{layout.name}::{member.name} is no integer of 1, 2, 4 or 8 bytes")
            self._apart = self._apart and member.offset_bytes >= at
            form += f"{max(0, member.offset_bytes - at)}x{_CODES[member.size_bytes]}"
            at = member.end_bytes
        self._unpack = struct.Struct(form + f"{max(0, layout.size_bytes - at)}x").unpack_from

    def __contains__(self, role: str) -> bool:
        """Whether the profile names a field in that role."""
        return role in self.members

    def unnamed(self, fields: Iterable[str]) -> frozenset[str]:
        """Which of a record's fields the profile gives no place; `address` is where the structure lies."""
        return frozenset(fields) - set(self.members) - {"address", "unkept"}

    def part(self, prefix: str, first: str) -> "Structure":
        """The structure inside this one that begins at the role `first`; its roles lose their prefix."""
        start = self.members[first].offset_bytes
        names = {role: role.removeprefix(prefix) for role in self.members if role.startswith(prefix)}
        members = tuple(
            replace(
                self.members[role],
                name=self.members[role].name.rpartition(".")[2],
                offset_bytes=self.members[role].offset_bytes - start,
            )
            for role in names
        )
        layout = Layout(self.name, self.size_bytes - start, members)
        return Structure(
            layout, {names[role]: member.name for role, member in zip(names, members, strict=True)}
        )

    def decode(self, data: bytes | bytearray | memoryview, base: int = 0) -> dict[str, int]:
        """Role → value of every scalar field of the instance at `data[base]`."""
        if not self._apart or self.parts:
            return {role: self.value(role, data, base) for role in self._roles}
        return dict(zip(self._roles, self._unpack(data, base), strict=True))

    def value(self, role: str, data: bytes | bytearray | memoryview, base: int = 0) -> int:
        """The value of one scalar role of the instance at `data[base]`."""
        member = self.members[role]
        start = base + member.offset_bytes
        raw = int.from_bytes(data[start : start + member.size_bytes], "little")
        mask, shift = self.parts.get(role, (None, 0))
        return raw if mask is None else (raw & mask) >> shift

    def with_value(self, role: str, field_bytes: bytes, value: int) -> bytes:
        """The bytes of a role's field with that value in the role, all other bits as they are."""
        mask, shift = self.parts.get(role, (None, 0))
        if mask is not None:
            value = int.from_bytes(field_bytes, "little") & ~mask | (value << shift) & mask
        return value.to_bytes(len(field_bytes), "little")

    def pattern(self, role: str, value: int) -> tuple[bytes, int]:
        """The bytes that say that value in a role, and their offset: those that no other role shares."""
        member = self.members[role]
        mask, shift = self.parts.get(role, ((1 << 8 * member.size_bytes) - 1, 0))
        masks = mask.to_bytes(member.size_bytes, "little")
        whole = [index for index, byte in enumerate(masks) if byte == 0xFF]
        data = (value << shift & mask).to_bytes(member.size_bytes, "little")
        first = whole[0] if whole else 0
        return bytes(data[index] for index in whole), member.offset_bytes + first

    def unpacker(self, roles: Sequence[str]) -> Unpack:
        """What unpacks the scalar fields in these roles, which stand in order of offset, alone."""
        form, at = "<", 0
        for role in roles:
            member = self.members[role]
            form += f"{member.offset_bytes - at}x{_CODES[member.size_bytes]}"
            at = member.end_bytes
        return struct.Struct(form).unpack_from

    def array(self, data: bytes, role: str) -> tuple[int, ...]:
        """All integers of the array field in that role; none where the profile names no such field."""
        if role not in self.members:
            return ()
        member = self.members[role]
        return struct.unpack_from(f"<{member.count}{_CODES[member.size_bytes]}", data, member.offset_bytes)

    def offset(self, role: str) -> int:
        """Offset in bytes of the field in that role."""
        return self.members[role].offset_bytes


@dataclass(frozen=True, slots=True)
class Section:
    """One section after the kernel's types and constants were looked up, each by its key.

    `structures` are by the key of the type, `numbers` are constants as well, `lists` are words and symbols.
    """

    profile: str
    name: str
    scheme: str
    names: Mapping[str, str] = field(default_factory=dict)
    structures: Mapping[str, Structure] = field(default_factory=dict)
    numbers: Mapping[str, int] = field(default_factory=dict)
    lists: Mapping[str, frozenset[str]] = field(default_factory=dict)

    @property
    def symbol(self) -> str:
        """The variable that leads to the section's object, or is it; empty where there is none."""
        return self.names.get("pointer") or self.names.get("object") or ""

    @property
    def is_object(self) -> bool:
        """Whether `symbol` is the object itself, and no pointer to it."""
        return "pointer" not in self.names and "object" in self.names

    def has_quirk(self, name: str) -> bool:
        """Whether the profile knows of that quirk."""
        return name in self.lists.get("quirks", ())

    def unknown(self, role: str) -> str | None:
        """Why what needs a role cannot be checked; None when the kernel is known to have no such thing."""
        if role in self.lists.get("lacks", ()):
            return None
        return f"profile {self.profile} names no {role}"


_NO_SECTION = Section("", "", "coronel")


@dataclass(frozen=True, slots=True)
class HeapProfile:
    """How a heap is laid out; `pointer` is the symbol of the pointer to it, or of the heap itself."""

    pointer: str
    heap: Structure
    block: Structure
    rules: HeapRules
    section: Section = _NO_SECTION


@dataclass(frozen=True, slots=True)
class ListProfile:
    """How a manager and the nodes of its free list are laid out: frames, or virtual regions."""

    pointer: str
    manager: Structure
    node: Structure
    section: Section = _NO_SECTION


@dataclass(frozen=True, slots=True)
class ProcessProfile:
    """How processes are laid out; `head` is the symbol of the pointer to the first one."""

    head: str
    process: Structure


@dataclass(frozen=True, slots=True)
class VariableProfile:
    """One object that the kernel has as a variable; `symbol` is the object itself."""

    symbol: str
    structure: Structure


@dataclass(frozen=True, slots=True)
class ResolvedProfile:
    """A profile with the kernel's own layouts; `source` says where those come from.

    No section need be there: `heap`, `frames` and `regions` say so as an error; without processes,
    `processes` is None and `no_processes` says why. `lacks` are sections that the kernel is known not to
    have; `specified`: docs/spec.md is the kernel's own specification; `linear_map` as in the profile.
    `image` are symbols by their role. `boot_map` is the kernel's copy of the memory map, `ring` describes
    the trace.
    `structures` are all that were looked up, as the kernel's DWARF has them, None when there is none. `trace`
    and `notes` (symbol → bytes) record the past: no block is in use by them. `activity` are symbols of words
    that are not 0 while something is changing, and what that is. `sections` are those that have schemes.
    """

    name: str
    source: str
    known_heap: HeapProfile | None = None
    known_frames: ListProfile | None = None
    known_regions: ListProfile | None = None
    processes: ProcessProfile | None = None
    no_processes: str = ""
    boot_map: VariableProfile | None = None
    ring: VariableProfile | None = None
    image: Mapping[str, str] = field(default_factory=dict)
    structures: Mapping[str, Layout] | None = None
    trace: str = ""
    notes: Mapping[str, int] = field(default_factory=dict)
    activity: Mapping[str, str] = field(default_factory=dict)
    user_heap: HeapProfile | None = None
    lacks: frozenset[str] = frozenset()
    specified: bool = False
    linear_map: int | None = None
    sections: Mapping[str, Section] = field(default_factory=dict)

    @property
    def heap(self) -> HeapProfile:
        """The kernel's heap; `KernelError` when the profile knows none."""
        return self._known(self.known_heap, "heap")

    @property
    def ring3_heap(self) -> HeapProfile:
        """Heaps of ring 3; where the profile says nothing of them, their blocks are those of the heap.

        The heap object is then the part of a process whose roles begin with `heap_`.
        """
        if self.user_heap is not None or self.processes is None:
            return self.user_heap or self.heap
        return replace(self.heap, heap=self.processes.process.part("heap_", "heap_start"))

    @property
    def frames(self) -> ListProfile:
        """The manager of frames; `KernelError` when the profile knows none."""
        return self._known(self.known_frames, "frames")

    @property
    def regions(self) -> ListProfile:
        """The manager of virtual regions; `KernelError` when the profile knows none."""
        return self._known(self.known_regions, "regions")

    def managers(self) -> Iterator[tuple[str, Section, Structure]]:
        """The objects that the profile knows, each with its noun, in whatever scheme they are."""
        nouns = {"heap": "kernel heap", "regions": "virtual manager", "frames": "frame manager"}
        for name, noun in nouns.items():
            section = self.sections.get(name)
            if section is not None and "type" in section.structures:
                yield noun, section, section.structures["type"]

    @property
    def counts_frames(self) -> bool:
        """Whether there may be a manager that knows all frames: none is known to be missing or another."""
        return self.known_frames is not None or not {"frames"} & {*self.lacks, *self.sections}

    def scheme(self, name: str) -> str:
        """The scheme of a section; empty where there is no such section."""
        section = self.sections.get(name)
        return section.scheme if section is not None else ""

    def _known(self, part: _Part | None, noun: str) -> _Part:
        if part is None and noun in self.sections:
            raise KernelError(f"this is not known of {noun} in the scheme {self.scheme(noun)}")
        if part is None:
            raise KernelError(f"profile {self.name} knows no {noun}")
        return part
