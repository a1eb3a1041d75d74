"""One DWARF reader for every host: GDB, LLDB and dumps differ on bases, unions and static members.

A structure is flattened to integers: nested fields are named `outer.inner`, an array of structures whose
integers all have one size becomes one array, and a class that only wraps one integer counts as that
integer (address classes, spinlocks).
"""

from collections.abc import Iterator
from itertools import count
from pathlib import Path

from elftools.dwarf.compileunit import CompileUnit
from elftools.dwarf.die import DIE
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import NoteSection

from coronel_gdb.errors import KernelError
from coronel_gdb.layout.elf_file import opened
from coronel_gdb.layout.expressions import structure_of, type_of
from coronel_gdb.layout.facts import KernelFacts, sound_layout
from coronel_gdb.layout.symbols import SymbolFile
from coronel_gdb.layout.types import STRUCTURES, size_of, target
from model.layouts import Layout, Member

_SCOPES = ("DW_TAG_namespace", *STRUCTURES)
_ADDR = 0x03  # DW_OP_addr
_WRITABLE = 2
_INTEGERS = (1, 2, 4, 8)
_MOST_MEMBERS = 1 << 16


def from_dwarf(path: Path, types: frozenset[str], constants: frozenset[str]) -> KernelFacts:
    """The wanted layouts and constants of an ELF file; `KernelError` when it has no DWARF to use."""
    with opened(path) as elf:
        return _read(elf, _build_id(elf), types, constants, path)


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
    if elf.get_section_by_name(".debug_info") is None:
        raise KernelError(f"{path} has no debug information: build the kernel with -g")
    layouts: dict[str, Layout] = {}
    values: dict[str, int] = {}
    by_variable = {name: found for name in types if (found := type_of(name)) is not None}
    variables = {found.variable for found in by_variable.values()}
    for unit in elf.get_dwarf_info().iter_CUs():
        declared: dict[int, str] = {}
        for name, die in named(unit.get_top_DIE(), "", declared):
            if name in types and name not in layouts and die.tag in STRUCTURES:
                if "DW_AT_declaration" not in die.attributes:
                    layouts[name] = layout_of(name, die)
            elif name in constants and name not in values:
                value = constant_of(elf, unit, die)
                if value is not None:
                    values[name] = value
            if name in variables and die.tag == "DW_TAG_variable":
                for key, wanted in by_variable.items():
                    kind = structure_of(die, wanted) if wanted.variable == name else None
                    if kind is not None:
                        layouts.setdefault(key, layout_of(key, kind))
        if len(layouts) == len(types) and len(values) == len(constants):
            break  # everything wanted is known: the rest of a kernel is long
    values |= _by_symbol(elf, path, constants - set(values))
    return KernelFacts(build_id, layouts, values)


def named(die: DIE, scope: str, declared: dict[int, str]) -> Iterator[tuple[str, DIE]]:
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
            yield from named(child, f"{name}::" if name else scope, declared)
        elif child.tag == "DW_TAG_enumeration_type":
            yield from named(child, scope, declared)


def constant_of(elf: ELFFile, unit: CompileUnit, die: DIE) -> int | None:
    """A constant's value: from DWARF itself, or from .rodata where the compiler kept an object (-O0)."""
    if "DW_AT_const_value" in die.attributes:
        value = die.attributes["DW_AT_const_value"].value
        size = 8 if die.tag == "DW_TAG_enumerator" else size_of(target(die))
        if isinstance(value, int):
            return value & ((1 << 8 * size) - 1)
        return int.from_bytes(bytes(value), "little")
    location = die.attributes.get("DW_AT_location")
    if location is None or not isinstance(location.value, list) or location.value[:1] != [_ADDR]:
        return None
    address = int.from_bytes(bytes(location.value[1:9]), "little")
    return _in_rodata(elf, address, size_of(target(die)))


def _in_rodata(elf: ELFFile, address: int, size: int) -> int | None:
    """The number that the file has there; None where nothing is, or where the kernel may write."""
    for segment in elf.iter_segments("PT_LOAD"):
        offset = address - segment["p_vaddr"]
        inside = offset >= 0 and offset + size <= segment["p_filesz"]
        if inside and not segment["p_flags"] & _WRITABLE:
            return int.from_bytes(segment.data()[offset : offset + size], "little")
    return None


def _by_symbol(elf: ELFFile, path: Path, names: frozenset[str]) -> Iterator[tuple[str, int]]:
    """Constants that DWARF gives no value: objects in .rodata, by their symbols."""
    if not names:
        return
    try:
        symbols = SymbolFile(path)
    except KernelError:
        return  # stripped of its symbols: the names are missing from the result
    for name in names:
        symbol = symbols.find(name)
        if symbol is not None and not symbol.is_function and symbol.size_bytes in _INTEGERS:
            value = _in_rodata(elf, symbol.address, symbol.size_bytes)
            if value is not None:
                yield name, value


def layout_of(name: str, die: DIE) -> Layout:
    """A structure's layout, flattened."""
    members = sorted(_members(die, "", 0, count()), key=lambda member: member.offset_bytes)
    return sound_layout(name, size_of(die), members)


def _members(die: DIE, prefix: str, base: int, met: Iterator[int]) -> Iterator[Member]:
    """The fields of a structure; `met` counts all that were met, those inside of others too."""
    for child in die.iter_children():
        if next(met) > _MOST_MEMBERS:
            raise KernelError("its types are damaged: a structure with fields without end")
        offset = child.attributes.get("DW_AT_data_member_location")
        if child.tag == "DW_TAG_inheritance" and offset is not None:
            yield from _members(target(child), prefix, base + offset.value, met)
        elif child.tag == "DW_TAG_member" and (offset is not None or die.tag == "DW_TAG_union_type"):
            at = base + (offset.value if offset else 0)
            label = child.attributes.get("DW_AT_name")
            if label is None:  # anonymous union or structure: its fields belong to the outer one
                yield from _members(target(child), prefix, at, met)
            else:
                yield from _flatten(prefix + label.value.decode(), target(child), at, met)


def _flatten(name: str, kind: DIE, at: int, met: Iterator[int]) -> Iterator[Member]:
    if kind.tag in STRUCTURES:
        inner = list(_members(kind, f"{name}.", at, met))
        if len(inner) == 1 and inner[0].size_bytes * inner[0].count == size_of(kind):
            inner = [Member(name, at, inner[0].size_bytes, inner[0].count)]
        yield from inner
    elif kind.tag == "DW_TAG_array_type":
        yield from _flatten_array(name, kind, at, met)
    elif size_of(kind):
        yield Member(name, at, size_of(kind))


def _flatten_array(name: str, kind: DIE, at: int, met: Iterator[int]) -> Iterator[Member]:
    elements = 1
    for child in kind.iter_children():
        if child.tag == "DW_TAG_subrange_type":
            bound = child.attributes.get("DW_AT_upper_bound")
            length = child.attributes.get("DW_AT_count")
            elements *= int(length.value) if length else int(bound.value) + 1 if bound else 0
    element = list(_flatten(name, target(kind), 0, met))
    sizes = {member.size_bytes for member in element}
    total = sum(member.size_bytes * member.count for member in element)
    if len(sizes) == 1:
        size = sizes.pop()
        yield Member(name, at, size, elements * total // size)
