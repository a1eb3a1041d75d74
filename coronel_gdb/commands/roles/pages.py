"""What the page tables tell of a physical page: where it is mapped, and which table it is."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from coronel_gdb.commands.roles.role import Role
from coronel_gdb.commands.walks.listing import missing
from coronel_gdb.commands.walks.words import SIZES, rights
from coronel_gdb.lift.pages import LEVEL_SHIFT, SIZE_OF_LEVEL, Progress, rights_of
from coronel_gdb.lift.space import AddressSpace
from coronel_gdb.lift.spaces import KnownSpace, KnownSpaces, opened
from coronel_gdb.lift.whole import whole_space
from coronel_gdb.report import Absent, Table
from model.page_entry import ADDRESS_BITS, PRESENT, is_leaf, page_address
from model.paging import sign_extend
from model.spaces import walk_whole
from model.types import PAGE_BYTES, PhysicalAddress, align_down

_MOST_ROWS = 1000


@dataclass(frozen=True, slots=True)
class Mapping:
    """One address that the physical address has, and in whose space."""

    space: KnownSpace
    virtual: int
    kind: int


@dataclass(slots=True)
class PhysicalPage:
    """A physical address as all known spaces have it; `absent` are the parts that cannot be walked."""

    physical: int
    mappings: list[Mapping] = field(default_factory=list)
    tables: list[Role] = field(default_factory=list)
    absent: list[Absent] = field(default_factory=list)
    more: int = 0

    def table(self) -> Table:
        """Every mapping, one a row."""
        rows = [
            (
                one.space.name,
                one.virtual,
                SIZES[SIZE_OF_LEVEL[one.kind >> LEVEL_SHIFT]],
                rights(rights_of(one.kind)),
            )
            for one in self.mappings
        ]
        return Table("mappings", ("space", "virtual", "page size", "rights"), rows, frozenset({"virtual"}))


def physical_page(space: AddressSpace, known: KnownSpaces, physical: int, progress: Progress) -> PhysicalPage:
    """Look through every known space."""
    found = PhysicalPage(physical)
    page = align_down(physical, PAGE_BYTES)
    for one, its_space in opened(known, space):
        pages = whole_space(its_space, through_self_maps=True, progress=progress)
        for virtual, index in pages.mappings_of(page):
            if len(found.mappings) == _MOST_ROWS:
                found.more += 1
                continue
            found.mappings.append(Mapping(one, virtual + (physical - page), pages.kinds[index]))
        if page in pages.tables:
            found.tables += _as_table(one.name, its_space, physical)
        found.absent += [Absent(f"{one.name}: {part.what}", part.why) for part in missing(pages)]
    found.absent += [Absent(what, why) for what, why in known.missing]
    return found


def _as_table(name: str, space: AddressSpace, physical: int) -> Iterator[Role]:
    """The entry that lies at the address, for each way in which the page is a table of the space."""
    page, index = align_down(physical, PAGE_BYTES), physical % PAGE_BYTES // 8
    walked = walk_whole(space.table, name, space.root, space.mode)
    for use in walked.tables:
        if use.address != page:
            continue
        entry = space.entry(PhysicalAddress(use.address + 8 * index)) or 0
        span = use.level.span_bytes
        start = sign_extend(use.virtual + index * span, space.mode.levels)
        leads = "not present"
        if entry & PRESENT and is_leaf(entry, use.level):
            leads = f"page {page_address(entry, use.level):#x}"
        elif entry & PRESENT:
            leads = f"table {entry & ADDRESS_BITS:#x}"
        again = sum(other.address == page for other in walked.again)
        details = [f"translates {start:#x}..{start + span - 1:#x}", f"entry {entry:#x}: {leads}"]
        if again:
            details.append(f"referred to {again} more time{'s' * (again != 1)}")
        what = f"page table: {use.level.name} {index}"
        yield Role(what, page + 8 * index, physical % 8, tuple(details), name)
