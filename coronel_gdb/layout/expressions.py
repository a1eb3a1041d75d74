"""Types that a profile names by a variable: `decltype(g_list)`, `decltype(*g_heap->first_)`.

A template has as many spellings as there are compilers and debuggers; a variable of it has one.
"""

import re
from dataclasses import dataclass

from elftools.dwarf.die import DIE

from coronel_gdb.layout.types import POINTERS, STRUCTURES, target

_DECLTYPE = re.compile(
    r"decltype\((?P<star>\*?)(?P<variable>(?:\w|::|\(anonymous namespace\))+)(?P<path>(?:(?:\.|->)\w+)*)\)"
)


@dataclass(frozen=True, slots=True)
class TypeOf:
    """The type of a variable, or of the member behind `path`; with `points`, of what that points to."""

    variable: str
    path: tuple[str, ...]
    points: bool


def type_of(name: str) -> TypeOf | None:
    """What stands behind a profile's type; None for one that is named by its own name."""
    found = _DECLTYPE.fullmatch(name)
    if found is None:
        return None
    path = tuple(re.findall(r"\w+", found["path"]))
    return TypeOf(found["variable"], path, bool(found["star"]))


def structure_of(variable: DIE, wanted: TypeOf) -> DIE | None:
    """The structure, followed from the variable's own entry; None where it does not lead to a whole one."""
    kind: DIE | None = target(variable)
    for name in wanted.path:
        kind = _member(_pointed(kind), name)
    if wanted.points:
        kind = _pointed(kind) if kind is not None and kind.tag in POINTERS else None
    whole = kind is not None and kind.tag in STRUCTURES and "DW_AT_declaration" not in kind.attributes
    return kind if whole else None


def _pointed(kind: DIE | None) -> DIE | None:
    """What a pointer points to; anything else itself."""
    if kind is None or kind.tag not in POINTERS:
        return kind
    return target(kind) if "DW_AT_type" in kind.attributes else None


def _member(kind: DIE | None, name: str) -> DIE | None:
    """The type of a member, those of bases and of unnamed members included."""
    for child in kind.iter_children() if kind is not None and kind.tag in STRUCTURES else ():
        label = child.attributes.get("DW_AT_name")
        if child.tag == "DW_TAG_inheritance" or (child.tag == "DW_TAG_member" and label is None):
            found = _member(target(child), name)
            if found is not None:
                return found
        elif child.tag == "DW_TAG_member" and label is not None and label.value.decode() == name:
            return target(child)
    return None
