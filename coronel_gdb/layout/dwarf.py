"""One DWARF reader for every host: GDB, LLDB and dumps differ on bases, unions and static members.

A structure is flattened to integers: nested fields are named `outer.inner`, an array of structures whose
integers all have one size becomes one array, and a class that only wraps one integer counts as that
integer (address classes, spinlocks).
"""

from collections.abc import Iterable, Iterator
from pathlib import Path

from elftools.common.exceptions import DWARFError, ELFError
from elftools.dwarf.compileunit import CompileUnit
from elftools.dwarf.die import DIE
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import NoteSection

from coronel_gdb.errors import KernelError
from coronel_gdb.layout.facts import KernelFacts, cache_file, load, save
from model.layouts import Layout, Member

_STRUCTURES = ("DW_TAG_structure_type", "DW_TAG_class_type", "DW_TAG_union_type")
_TRANSPARENT = ("DW_TAG_typedef", "DW_TAG_const_type", "DW_TAG_volatile_type")
_REFERENCES = ("DW_TAG_pointer_type", "DW_TAG_reference_type", "DW_TAG_rvalue_reference_type")
_SCOPES = ("DW_TAG_namespace", *_STRUCTURES)
_ADDR = 0x03  # DW_OP_addr


def read_facts(path: Path, types: Iterable[str], constants: Iterable[str]) -> KernelFacts:
    """The wanted layouts and constants of an ELF file, from the cache when its build-id is known there.

    Names that the file does not have are simply missing from the result. Raises `KernelError` when
    the file cannot be read, is no ELF file or holds no DWARF.
    """
    types, constants = frozenset(types), frozenset(constants)
    try:
        with path.open("rb") as stream:
            elf = ELFFile(stream)
            build_id = _build_id(elf)
            cached = cache_file(build_id, types | constants) if build_id else None
            facts = load(cached) if cached else None
            if facts is None:
                facts = _read(elf, build_id, types, constants, path)
                found = len(facts.layouts) + len(facts.constants)
                if cached and found == len(types) + len(constants):
                    save(cached, facts)
            return facts
    except OSError as error:
        raise KernelError(f"cannot read the kernel file {path}: {error.strerror}") from error
    except (ELFError, DWARFError) as error:
        raise KernelError(f"{path} is not a usable ELF file: {error}") from error


def _build_id(elf: ELFFile) -> str:
    for section in elf.iter_sections():
        if isinstance(section, NoteSection):
            for note in section.iter_notes():
                if note["n_type"] == "NT_GNU_BUILD_ID":
                    return str(note["n_desc"])
    return ""


def _read(
    elf: ELFFile, build_id: str, types: frozenset[str], constants: frozenset[str], path: Path
) -> KernelFacts:
    if not any(elf.get_section_by_name(name) for name in (".debug_info", ".zdebug_info")):
        raise KernelError(f"{path} has no debug information: build the kernel with -g")
    layouts: dict[str, Layout] = {}
    values: dict[str, int] = {}
    for unit in elf.get_dwarf_info().iter_CUs():
        declared: dict[int, str] = {}
        for name, die in _named(unit.get_top_DIE(), "", declared):
            if name in types and name not in layouts and die.tag in _STRUCTURES:
                if "DW_AT_declaration" not in die.attributes:
                    layouts[name] = _layout(name, die)
            elif name in constants and name not in values:
                value = _constant(elf, unit, die)
                if value is not None:
                    values[name] = value
        if len(layouts) == len(types) and len(values) == len(constants):
            break  # everything wanted is known: the rest of a kernel is long
    return KernelFacts(build_id, layouts, values)


def _named(die: DIE, scope: str, declared: dict[int, str]) -> Iterator[tuple[str, DIE]]:
    """Types, variables and enumerators with their full names, through namespaces and classes.

    A definition apart from its declaration has no name of its own; `declared` keeps those met so far.
    """
    for child in die.iter_children():
        attribute = child.attributes.get("DW_AT_name")
        name = scope + attribute.value.decode() if attribute else ""
        if "DW_AT_declaration" in child.attributes or "DW_AT_external" in child.attributes:
            declared[child.offset] = name
        if "DW_AT_specification" in child.attributes:
            name = declared.get(child.get_DIE_from_attribute("DW_AT_specification").offset, name)
        if name:
            yield name, child
        if child.tag in _SCOPES:
            yield from _named(child, f"{name}::" if name else scope, declared)
        elif child.tag == "DW_TAG_enumeration_type":
            yield from _named(child, scope, declared)


def _constant(elf: ELFFile, unit: CompileUnit, die: DIE) -> int | None:
    """A constant's value: from DWARF itself, or from .rodata where the compiler kept an object (-O0)."""
    if "DW_AT_const_value" in die.attributes:
        value = die.attributes["DW_AT_const_value"].value
        size = 8 if die.tag == "DW_TAG_enumerator" else _size(_target(die))
        if isinstance(value, int):
            return value & ((1 << 8 * size) - 1)
        return int.from_bytes(bytes(value), "little")
    location = die.attributes.get("DW_AT_location")
    if location is None or not isinstance(location.value, list) or location.value[:1] != [_ADDR]:
        return None
    address = int.from_bytes(bytes(location.value[1:9]), "little")
    size = _size(_target(die))
    for segment in elf.iter_segments("PT_LOAD"):
        offset = address - segment["p_vaddr"]
        if (
            offset >= 0 and offset + size <= segment["p_filesz"] and not segment["p_flags"] & 2
        ):  # not writable
            return int.from_bytes(segment.data()[offset : offset + size], "little")
    return None


def _target(die: DIE) -> DIE:
    """The type a DIE refers to, typedefs and qualifiers taken off."""
    if "DW_AT_specification" in die.attributes and "DW_AT_type" not in die.attributes:
        die = die.get_DIE_from_attribute("DW_AT_specification")
    kind = die.get_DIE_from_attribute("DW_AT_type")
    while kind.tag in _TRANSPARENT:
        kind = kind.get_DIE_from_attribute("DW_AT_type")
    return kind


def _size(kind: DIE) -> int:
    if kind.tag in _REFERENCES:
        return 8
    attribute = kind.attributes.get("DW_AT_byte_size")
    return int(attribute.value) if attribute else 0


def _layout(name: str, die: DIE) -> Layout:
    members = sorted(_members(die, "", 0), key=lambda member: member.offset_bytes)
    return Layout(name, _size(die), tuple(members))


def _members(die: DIE, prefix: str, base: int) -> Iterator[Member]:
    for child in die.iter_children():
        offset = child.attributes.get("DW_AT_data_member_location")
        if child.tag == "DW_TAG_inheritance" and offset is not None:
            yield from _members(_target(child), prefix, base + offset.value)
        elif child.tag == "DW_TAG_member" and (offset is not None or die.tag == "DW_TAG_union_type"):
            at = base + (offset.value if offset else 0)
            label = child.attributes.get("DW_AT_name")
            if label is None:  # anonymous union or structure: its fields belong to the outer one
                yield from _members(_target(child), prefix, at)
            else:
                yield from _flatten(prefix + label.value.decode(), _target(child), at)


def _flatten(name: str, kind: DIE, at: int) -> Iterator[Member]:
    if kind.tag in _STRUCTURES:
        inner = list(_members(kind, f"{name}.", at))
        if len(inner) == 1 and inner[0].size_bytes * inner[0].count == _size(kind):
            inner = [Member(name, at, inner[0].size_bytes, inner[0].count)]
        yield from inner
    elif kind.tag == "DW_TAG_array_type":
        yield from _flatten_array(name, kind, at)
    elif _size(kind):
        yield Member(name, at, _size(kind))


def _flatten_array(name: str, kind: DIE, at: int) -> Iterator[Member]:
    count = 1
    for child in kind.iter_children():
        if child.tag == "DW_TAG_subrange_type":
            bound = child.attributes.get("DW_AT_upper_bound")
            length = child.attributes.get("DW_AT_count")
            count *= int(length.value) if length else int(bound.value) + 1 if bound else 0
    element = list(_flatten(name, _target(kind), 0))
    sizes = {member.size_bytes for member in element}
    total = sum(member.size_bytes * member.count for member in element)
    if len(sizes) == 1:
        size = sizes.pop()
        yield Member(name, at, size, count * total // size)
