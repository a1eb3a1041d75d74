"""How entries, rights and page sizes are written."""

from model.memory_type import PAT_RESET, memory_type, pat_index
from model.page_entry import Level, is_leaf
from model.paging import BadTable, FaultReason, Rights, Step

SIZES = {1 << 12: "4 KiB", 1 << 21: "2 MiB", 1 << 30: "1 GiB"}
_FLAGS = ((0, "P"), (1, "W"), (2, "U"), (3, "PWT"), (4, "PCD"), (5, "A"), (6, "D"), (8, "G"), (63, "NX"))


def counted(number: int, noun: str) -> str:
    """So many of them."""
    return f"{number:,} {noun}{'s' * (number != 1)}"


def flags(step: Step) -> str:
    """The entry's own bits by their SDM names; rights here are raw, not combined over the levels."""
    entry, level = step.entry, step.level
    if not entry & 1:
        return "not present"
    leaf = is_leaf(entry, level)
    names = [name for bit, name in _FLAGS if entry >> bit & 1 and (leaf or bit not in (6, 8))]
    if level > Level.PTE and entry >> 7 & 1:
        names.append("PS")
    if leaf and entry >> (7 if level == Level.PTE else 12) & 1:
        names.append("PAT")
    if leaf and entry >> 59 & 15:
        names.append(f"key {entry >> 59 & 15}")
    return " ".join(names)


def leads_to(step: Step) -> str:
    """What an entry refers to."""
    if not step.entry & 1:
        return "nothing"
    address = step.entry & 0x000F_FFFF_FFFF_F000
    if is_leaf(step.entry, step.level):
        return f"{SIZES[step.level.span_bytes]} page {address & -step.level.span_bytes:#x}"
    return f"{Level(step.level - 1).name} table {address:#x}"


def rights(effective: Rights) -> str:
    """Effective rights in the way of `ls`, with who may use them."""
    letters = f"r{'w' if effective.writable else '-'}{'x' if effective.executable else '-'}"
    return f"{letters} {'user' if effective.user else 'kernel'}"


def memory_type_of(leaf: int, level: Level) -> str:
    """The PAT entry that a leaf selects, and the type it has unless the guest changed IA32_PAT."""
    index = pat_index(leaf, level)
    kind = memory_type(index, PAT_RESET)
    label = kind.label if kind is not None else "reserved"
    return f"{label}: PAT entry {index}, assumed as after reset (QEMU shows no IA32_PAT), MTRRs not asked"


def damage(bad: BadTable) -> tuple[str, str]:
    """Which part of a space cannot be walked, and why."""
    place = f"{bad.level.name} table {bad.table:#x}, for addresses from {bad.virtual:#x}"
    if bad.reason is FaultReason.RESERVED_BIT:
        return f"{place}, index {bad.index}", f"reserved bits {bad.reserved_bits:#x} are set"
    where = "" if bad.entry_address is None else f" (the entry at {bad.entry_address:#x} refers to it)"
    return place, f"the table cannot be read{where}"
