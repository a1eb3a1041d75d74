"""The entries of DWARF that describe types: which are which, and what they refer to."""

from elftools.dwarf.die import DIE

from coronel_gdb.errors import KernelError

STRUCTURES = ("DW_TAG_structure_type", "DW_TAG_class_type", "DW_TAG_union_type")
POINTERS = ("DW_TAG_pointer_type", "DW_TAG_reference_type", "DW_TAG_rvalue_reference_type")
_TRANSPARENT = ("DW_TAG_typedef", "DW_TAG_const_type", "DW_TAG_volatile_type")
_MOST_TYPEDEFS = 64


def target(die: DIE) -> DIE:
    """The type a DIE refers to, typedefs and qualifiers taken off."""
    if "DW_AT_specification" in die.attributes and "DW_AT_type" not in die.attributes:
        die = die.get_DIE_from_attribute("DW_AT_specification")
    for _ in range(_MOST_TYPEDEFS):
        die = die.get_DIE_from_attribute("DW_AT_type")
        if die.tag not in _TRANSPARENT:
            return die
    raise KernelError("its types are damaged: a typedef of typedefs without end")


def size_of(kind: DIE) -> int:
    """Its size in bytes, 0 for what has none."""
    if kind.tag in POINTERS:
        return 8
    attribute = kind.attributes.get("DW_AT_byte_size")
    return int(attribute.value) if attribute else 0
