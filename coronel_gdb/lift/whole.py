"""The whole of an address space by whichever decoder is sooner done."""

from collections.abc import Iterator

from coronel_gdb.lift.page_walker import present_entries, walk_pages
from coronel_gdb.lift.pages import Pages, Progress, bulk_is_worth_it, no_progress
from coronel_gdb.lift.space import AddressSpace
from model.page_entry import ADDRESS_BITS, PAGE_SIZE, Level
from model.types import PhysicalAddress


def whole_space(
    space: AddressSpace,
    *,
    coalesced: bool = True,
    effective: bool = True,
    through_self_maps: bool = False,
    progress: Progress = no_progress,
) -> Pages:
    """Every page of a space; not `effective`, with the rights of the leaf alone."""
    if effective and bulk_is_worth_it(tables_about(space)):
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


def tables_about(space: AddressSpace) -> int:
    """About how many tables a space has: the last level is counted by what refers to it, aliases once."""
    tables, total = {int(space.root) & ADDRESS_BITS}, 0
    for level in range(space.mode.levels, 1, -1):
        below: set[int] = set()
        for data in _read(space, sorted(tables)):
            below.update(
                entry & ADDRESS_BITS
                for _, entry in present_entries(data)
                if level > Level.PDPTE or not entry & PAGE_SIZE
            )
            if len(below) > _MANY:
                return len(below)
        total += len(below)
        tables = below
    return 1 + total


def _read(space: AddressSpace, tables: list[int]) -> Iterator[bytes]:
    space.load(tables)
    for table in tables:
        data = space.table(PhysicalAddress(table))
        if data is not None:
            yield data


_MANY = 4096
