"""Everything in a kernel's debug information that a profile might name: for drafts, and for near names."""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from elftools.dwarf.die import DIE

from coronel_gdb.errors import KernelError
from coronel_gdb.layout.dwarf import constant_of, layout_of, named
from coronel_gdb.layout.elf_file import opened
from coronel_gdb.layout.symbols import SymbolFile
from coronel_gdb.layout.types import POINTERS, STRUCTURES, target
from model.layouts import Layout


@dataclass(frozen=True, slots=True)
class Kind:
    """A type's layout; `points` says what its pointers point to: member → structure."""

    layout: Layout
    points: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Variable:
    """A variable of a structure, or (`points`) a pointer to one."""

    kind: str
    points: bool


@dataclass(slots=True)
class Census:
    """By full C++ name: whole structures, variables of them and pointers to them, constants, functions.

    `symbols` are all names of the symbol table, of variables without types too.
    """

    kinds: dict[str, Kind] = field(default_factory=dict)
    variables: dict[str, Variable] = field(default_factory=dict)
    constants: dict[str, int] = field(default_factory=dict)
    functions: set[str] = field(default_factory=set)
    symbols: set[str] = field(default_factory=set)

    def symbol_of(self, name: str) -> str:
        """A variable's symbol, empty for none; its name in DWARF leaves namespaces without a name out."""
        if name in self.symbols:
            return name
        scope, colons, last = name.rpartition("::")
        hidden = f"{scope}{colons}(anonymous namespace)::{last}"
        return hidden if hidden in self.symbols else ""


def read_census(path: Path) -> Census:
    """All of it, which takes as long as the kernel is large; `KernelError` for a file that cannot be used."""
    census = Census()
    census.symbols.update(SymbolFile(path).names())
    with opened(path) as elf:
        if elf.get_section_by_name(".debug_info") is None:
            raise KernelError(f"{path} has no debug information: build the kernel with -g")
        for unit in elf.get_dwarf_info().iter_CUs():
            declared: dict[int, str] = {}
            entries = list(named(unit.get_top_DIE(), "", declared))
            names = {die.offset: name for name, die in entries}
            for name, die in entries:
                if die.tag in STRUCTURES:
                    if name not in census.kinds and "DW_AT_declaration" not in die.attributes:
                        _add_kind(census, name, die, names)
                elif die.tag == "DW_TAG_subprogram":
                    census.functions.add(name)
                elif die.tag in ("DW_TAG_variable", "DW_TAG_enumerator", "DW_TAG_member"):
                    value = constant_of(elf, unit, die)
                    if value is not None:
                        census.constants.setdefault(name, value)
                    elif die.tag == "DW_TAG_variable":
                        _add_variable(census, name, die, names)
    return census


def _add_kind(census: Census, name: str, die: DIE, names: Mapping[int, str]) -> None:
    """The structure, unless its layout is larger than any that is lifted."""
    with suppress(ValueError):
        census.kinds.setdefault(name, Kind(layout_of(name, die), dict(_points(die, "", names))))


def _add_variable(census: Census, name: str, die: DIE, names: Mapping[int, str]) -> None:
    """The variable, where a structure is behind it; one without a name is called by the variable."""
    kind = target(die) if {"DW_AT_type", "DW_AT_specification"} & set(die.attributes) else die
    points = kind.tag in POINTERS
    if points:
        kind = target(kind) if "DW_AT_type" in kind.attributes else die
    if kind.tag not in STRUCTURES:
        return
    called = names.get(kind.offset, f"decltype({'*' if points else ''}{name})")
    if kind.offset not in names:
        _add_kind(census, called, kind, names)
    census.variables[name] = Variable(called, points)


def _points(die: DIE, prefix: str, names: Mapping[int, str]) -> Iterator[tuple[str, str]]:
    """(member, structure) of every pointer, named as a `Layout` names members."""
    for child in die.iter_children():
        label = child.attributes.get("DW_AT_name")
        if child.tag == "DW_TAG_inheritance" or (child.tag == "DW_TAG_member" and label is None):
            yield from _points(target(child), prefix, names)
        elif child.tag == "DW_TAG_member" and label is not None:
            name, kind = prefix + label.value.decode(), target(child)
            if kind.tag in STRUCTURES:
                yield from _points(kind, f"{name}.", names)
            elif kind.tag in POINTERS and "DW_AT_type" in kind.attributes:
                pointed = target(kind)
                if pointed.offset in names:
                    yield name, names[pointed.offset]
