"""From code addresses to functions and source lines, by the kernel's DWARF.

Only compile units that contain a wanted address are looked at. Give a return address minus one to get the
line of the call.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from elftools.dwarf.compileunit import CompileUnit
from elftools.dwarf.die import DIE
from elftools.dwarf.dwarfinfo import DWARFInfo

from coronel_gdb.errors import KernelError
from coronel_gdb.layout.elf_file import opened

_SCOPES = ("DW_TAG_namespace", "DW_TAG_structure_type", "DW_TAG_class_type", "DW_TAG_union_type")
_ORIGINS = ("DW_AT_abstract_origin", "DW_AT_specification")
_LOWEST_WITH_COUNTED_FILES = 5  # DWARF 5 counts a line table's files from 0, older ones from 1


@dataclass(frozen=True, slots=True)
class Place:
    """A place in the source: the function with its scopes, the file as the compiler names it, the line."""

    function: str
    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.function} {self.file}:{self.line}"


def locate(path: Path, addresses: Iterable[int]) -> dict[int, Place]:
    """The places of those addresses that the line table covers; `KernelError` when it cannot be read."""
    wanted = sorted(set(addresses))
    if not wanted:
        return {}
    known = _known(path, *_version(path))
    fresh = [address for address in wanted if address not in known]
    if fresh:
        known.update(dict.fromkeys(fresh) | _read(path, fresh))
    return {address: place for address in wanted if (place := known[address]) is not None}


@cache
def _known(_path: Path, _mtime_ns: int, _size_bytes: int) -> dict[int, Place | None]:
    """What was looked up in this version of a kernel's file: the same few callers come again and again."""
    return {}


def _version(path: Path) -> tuple[int, int]:
    try:
        found = path.stat()
    except OSError as error:
        raise KernelError(f"cannot read the kernel file {path}: {error.strerror}") from error
    return found.st_mtime_ns, found.st_size


def _read(path: Path, wanted: list[int]) -> dict[int, Place]:
    with opened(path) as elf:
        if not elf.has_dwarf_info():
            return {}
        dwarf = elf.get_dwarf_info()
        units = _units(dwarf, wanted)
        return {address: place for unit, inside in units for address, place in _in_unit(dwarf, unit, inside)}


def _units(dwarf: DWARFInfo, wanted: list[int]) -> Iterator[tuple[CompileUnit, list[int]]]:
    """The compile units that contain wanted addresses: by the table of ranges, or else all of them."""
    ranges = dwarf.get_aranges()
    if ranges is None:
        yield from ((unit, wanted) for unit in dwarf.iter_CUs())
        return
    by_offset: dict[int, list[int]] = {}
    for address in wanted:
        offset = ranges.cu_offset_at_addr(address)
        if offset is not None:
            by_offset.setdefault(offset, []).append(address)
    for offset, inside in by_offset.items():
        yield dwarf.get_CU_at(offset), inside


def _in_unit(dwarf: DWARFInfo, unit: CompileUnit, wanted: list[int]) -> Iterator[tuple[int, Place]]:
    lines = _lines(dwarf, unit, wanted)
    functions = _functions(unit)
    for address in wanted:
        if address in lines:
            inside = [name for start, end, name in functions if start <= address < end]
            yield address, Place(inside[-1] if inside else "?", *lines[address])


def _lines(dwarf: DWARFInfo, unit: CompileUnit, wanted: list[int]) -> dict[int, tuple[str, int]]:
    """Address → file and line: the row before the first one behind the address."""
    program = dwarf.line_program_for_CU(unit)
    if program is None:
        return {}
    found: dict[int, tuple[str, int]] = {}
    files, base = program["file_entry"], int(program["version"] < _LOWEST_WITH_COUNTED_FILES)
    directories = program["include_directory"]
    before = None
    for entry in program.get_entries():
        state = entry.state
        if state is None:
            continue
        if before is not None:
            for address in wanted:
                if before.address <= address < state.address:
                    file = files[before.file - base]
                    found[address] = _file_name(directories, file, program["version"]), before.line
        before = None if state.end_sequence else state
    return found


def _file_name(directories: list[bytes], file: object, version: int) -> str:
    """A file as the compiler names it, its folder included unless that is the compiler's own."""
    name: str = file.name.decode(errors="replace")  # type: ignore[attr-defined]
    index = file.dir_index - int(version < _LOWEST_WITH_COUNTED_FILES)  # type: ignore[attr-defined]
    if "/" in name or not 0 <= index < len(directories) or (index == 0 and version >= 5):
        return name
    return f"{directories[index].decode(errors='replace')}/{name}"


def _functions(unit: CompileUnit) -> list[tuple[int, int, str]]:
    """Start, end and full name of every function that has code in a unit."""
    names: dict[int, str] = {}
    found: list[tuple[int, int, DIE, str]] = []
    _collect(unit.get_top_DIE(), "", names, found)
    listed = []
    for start, end, die, own in found:
        name, at = own, die
        for _ in range(4):  # clone → abstract function → its declaration in a class
            origin = next((key for key in _ORIGINS if key in at.attributes), None)
            if origin is None:
                break
            at = at.get_DIE_from_attribute(origin)
            name = names.get(at.offset, name)
        listed.append((start, end, name or "?"))
    return listed


def _collect(die: DIE, scope: str, names: dict[int, str], found: list[tuple[int, int, DIE, str]]) -> None:
    for child in die.iter_children():
        if child.tag in _SCOPES:
            label = child.attributes.get("DW_AT_name")
            inner = label.value.decode() if label else "(anonymous namespace)"
            _collect(child, f"{scope}{inner}::", names, found)
        elif child.tag == "DW_TAG_subprogram":
            label = child.attributes.get("DW_AT_name")
            name = scope + label.value.decode() if label else ""
            if name:
                names[child.offset] = name
            low, high = child.attributes.get("DW_AT_low_pc"), child.attributes.get("DW_AT_high_pc")
            if low is not None and high is not None:
                is_address = high.form == "DW_FORM_addr"
                end = high.value if is_address else low.value + high.value
                found.append((low.value, end, child, name))
