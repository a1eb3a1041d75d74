"""The entries of a table in bulk, with the standard library alone."""

import struct
from collections.abc import Iterator
from itertools import compress

from model.page_entry import ADDRESS_BITS, ENTRY_BYTES, PAGE_SIZE, PRESENT

_ENTRIES = struct.Struct("<512Q")
# By the lowest byte of an entry:
_IS_PRESENT = bytes(flags & PRESENT for flags in range(256))
_REFERS = bytes(flags & (PRESENT | PAGE_SIZE) == PRESENT for flags in range(256))


def present_entries(data: bytes) -> Iterator[tuple[int, int]]:
    """Index and value of the present entries of a table: most are empty, and those cost next to nothing."""
    return compress(enumerate(_ENTRIES.unpack(data)), data[::ENTRY_BYTES].translate(_IS_PRESENT))


def references(data: bytes) -> Iterator[int]:
    """The tables to which the entries of a table above the last level refer."""
    for _, entry in present_entries(data):
        if not entry & PAGE_SIZE:
            yield entry & ADDRESS_BITS


def count_references(data: bytes) -> int:
    """How many there are."""
    return data[::ENTRY_BYTES].translate(_REFERS).count(1)
