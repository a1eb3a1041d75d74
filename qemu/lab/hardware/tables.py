"""Page tables for cases: where they and the data lie, and the shapes that all kinds of cases share."""

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Final

from lab.hardware.vectors import Case, Flag, Group, Kind
from model.page_entry import ENTRY_BYTES, Level, table_index

P, W, U, PWT, PCD, A, D, PS, G = (1 << bit for bit in range(9))
NX: Final = 1 << 63

# Tables from 32 MiB on, data from 80 MiB on: a flipped address bit below 28 stays inside the test's memory.
TABLES: Final = 0x200_0000
DATA: Final = 0x500_0000
DATA_2M: Final = 0x600_0000

MODES: Final = tuple(
    (kind, cpl) for cpl in (0, Flag.CPL3) for kind in (Kind.READ8, Kind.WRITE8, Kind.FETCH, Kind.LOAD)
)
"""The eight modes of access: read, write, fetch and implicit read, at CPL 0 and 3."""
USER_FLAGS: Final = P | W | U


@dataclass(frozen=True, slots=True)
class Shape:
    """How deep a page lies: 4- or 5-level tables that end at `leaf`."""

    levels: int
    leaf: Level

    @property
    def depth(self) -> range:
        """The levels of the entries, the top first."""
        return range(self.levels, self.leaf - 1, -1)


SHAPES: Final = tuple(
    Shape(levels, leaf) for levels in (4, 5) for leaf in (Level.PTE, Level.PDE, Level.PDPTE)
)

# Slots away from 0 and 511, all different.
ADDRESS: Final = 0x0012 << 48 | 0x5A << 39 | 0x0C3 << 30 | 0x33 << 21 | 0x0E7 << 12 | 0x5A8


def address_of(shape: Shape, offset: int = ADDRESS & 0xFFF) -> int:
    """The address that the tables of `tables_of` map."""
    width = 12 + 9 * shape.levels - 1
    return (ADDRESS & ((1 << width) - 1) & ~0xFFF) | offset


def leaf_address(shape: Shape) -> int:
    """The page that a leaf maps: inside the test's memory wherever the size allows it.

    A 1-GByte page begins at 0; what is accessed in it is the offset of `address_of`, which is inside.
    """
    return {Level.PTE: DATA, Level.PDE: DATA_2M}.get(shape.leaf, 0)


def tables_of(
    shape: Shape, flags: int | Sequence[int] = USER_FLAGS, linear: int | None = None
) -> dict[int, int]:
    """The entries for one address, by physical address, the top first; `flags` for each or for all."""
    linear = address_of(shape) if linear is None else linear
    each = [flags] * len(shape.depth) if isinstance(flags, int) else list(flags)
    entries = {}
    for number, level in enumerate(shape.depth):
        at = TABLES + 0x1000 * number + ENTRY_BYTES * table_index(linear, Level(level))
        if level == shape.leaf:
            value = leaf_address(shape) | (PS if level != Level.PTE else 0)
        else:
            value = TABLES + 0x1000 * (number + 1)
        entries[at] = value | each[number]
    return entries


def cases_of(states: Iterable[tuple[int, int, int]], modes: Sequence[tuple[int, int]] = MODES) -> list[Case]:
    """Each mode in each state (flags, PKRU, PKRS)."""
    return [
        Case(kind, flags | cpl, pkru, pkrs) for (flags, pkru, pkrs), (kind, cpl) in product(states, modes)
    ]


def hint(chance: random.Random, *, present: bool = False) -> int:
    """A random word to be found at the end of a walk.

    Its low bytes are `jmp *%rsi`, for fetches; as a descriptor it is a data segment for CPL 3 that was
    not accessed yet, not present unless `present`.
    """
    word = chance.getrandbits(64) & ~(0xFF << 40 | 0xFFFF) | 0xE6FF
    return word | (0xF2 if present else 0x72) << 40


def group_of(
    shape: Shape, entries: dict[int, int], cases: list[Case], linear: int, chance: random.Random
) -> Group:
    """A group with random data to be found and written."""
    return Group(linear, TABLES, entries, cases, chance.getrandbits(64), hint(chance))
