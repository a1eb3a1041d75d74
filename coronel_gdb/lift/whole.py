"""The whole of an address space by whichever decoder is sooner done."""

import sys
from collections.abc import Iterator

from coronel_gdb.lift.entries import count_references, references
from coronel_gdb.lift.page_walker import walk_pages
from coronel_gdb.lift.pages import Pages, Progress, no_progress
from coronel_gdb.lift.space import AddressSpace
from model.page_entry import ADDRESS_BITS, Level
from model.types import PhysicalAddress

_MOST_BY_HAND = 1023  # tables: up to there, numpy's import (0.1 to 0.25 s) costs more than it saves
_MOST_BESIDE_NUMPY = 127  # and where it is imported already


def whole_space(
    space: AddressSpace,
    *,
    coalesced: bool = True,
    effective: bool = True,
    through_self_maps: bool = False,
    progress: Progress = no_progress,
) -> Pages:
    """Every page of a space; not `effective`, with the rights of the leaf alone."""
    most = _MOST_BESIDE_NUMPY if "numpy" in sys.modules else _MOST_BY_HAND
    if effective and has_more_tables(space, most):
        try:
            from coronel_gdb.lift.page_arrays import walk_pages_in_bulk

            return walk_pages_in_bulk(
                space, coalesced=coalesced, through_self_maps=through_self_maps, progress=progress
            )
        except ImportError:  # a debugger's Python may lack numpy: slower, nothing else
            pass
    return walk_pages(
        space,
        coalesced=coalesced,
        effective=effective,
        through_self_maps=through_self_maps,
        progress=progress,
    )


def has_more_tables(space: AddressSpace, limit: int) -> bool:
    """Whether a space has more tables than that, aliases counted once.

    Those of the last level count by what refers to them, and are not read.
    """
    tables, total = [int(space.root) & ADDRESS_BITS], 0
    for _ in range(space.mode.levels, Level.PDE, -1):
        total += len(tables)
        tables = sorted({below for data in _read(space, tables) for below in references(data)})
        if total + len(tables) > limit:
            return True
    total += len(tables)
    directories = list(_read(space, tables))
    if total + sum(map(count_references, directories)) <= limit:
        return False  # even with all aliases, which is soon known
    last: set[int] = set()
    for data in directories:
        last.update(references(data))
        if total + len(last) > limit:
            return True
    return False


def _read(space: AddressSpace, tables: list[int]) -> Iterator[bytes]:
    space.load(tables)
    for table in tables:
        data = space.table(PhysicalAddress(table))
        if data is not None:
            yield data
