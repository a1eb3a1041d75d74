"""The whole of an address space by whichever decoder is sooner done."""

from collections.abc import Iterator

from coronel_gdb.lift.page_walker import walk_pages
from coronel_gdb.lift.pages import Pages, Progress, bulk_is_worth_it, no_progress
from coronel_gdb.lift.space import AddressSpace
from model.page_entry import ADDRESS_BITS, PAGE_SIZE, PRESENT
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
    """About how many tables a space has: aliases count, the last level is counted by what refers to it."""
    tables = [int(space.root) & ADDRESS_BITS]
    for level in range(space.mode.levels, 2, -1):
        below: set[int] = set()
        for data in _read(space, tables):
            for index, flags in enumerate(data[::8]):
                if flags & PRESENT and (level > 3 or not flags & PAGE_SIZE):
                    below.add(int.from_bytes(data[8 * index : 8 * index + 8], "little") & ADDRESS_BITS)
        tables = sorted(below)
        if len(tables) > _MANY:
            return len(tables)
    return len(tables) + sum(data[::8].translate(_REFERS).count(1) for data in _read(space, tables))


def _read(space: AddressSpace, tables: list[int]) -> Iterator[bytes]:
    space.load(tables)
    for table in tables:
        data = space.table(PhysicalAddress(table))
        if data is not None:
            yield data


_MANY = 4096
_REFERS = bytes(int(flags & PRESENT and not flags & PAGE_SIZE) for flags in range(256))
