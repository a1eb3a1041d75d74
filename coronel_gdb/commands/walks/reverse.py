"""Every mapping of a physical page, in all address spaces that are known."""

from coronel_gdb.commands.walks.listing import missing
from coronel_gdb.commands.walks.words import SIZES, counted, rights
from coronel_gdb.lift.owner import backing
from coronel_gdb.lift.pages import LEVEL_SHIFT, SIZE_OF_LEVEL, Progress, rights_of
from coronel_gdb.lift.space import AddressSpace
from coronel_gdb.lift.spaces import KnownSpaces, opened
from coronel_gdb.lift.whole import whole_space
from coronel_gdb.report import Absent, Report, Table

_LEVELS = {1: "page table (PTEs)", 2: "page directory (PDEs)", 3: "PDPT", 4: "PML4", 5: "PML5"}
_MOST_ROWS = 100_000


def find_physical(space: AddressSpace, known: KnownSpaces, physical: int, progress: Progress) -> Report:
    """Where that physical address is mapped, and as which tables its page serves."""
    page = physical & -4096
    report = Report("pagewalk", "")
    rows: list[tuple[object, ...]] = []
    roles: dict[str, list[str]] = {}
    for one, its_space in opened(known, space):
        pages = whole_space(its_space, through_self_maps=True, progress=progress)
        for virtual, index in pages.mappings_of(page):
            kind = pages.kinds[index]
            if len(rows) < _MOST_ROWS:
                size = SIZES[SIZE_OF_LEVEL[kind >> LEVEL_SHIFT]]
                rows.append((one.name, virtual + (physical - page), size, rights(rights_of(kind))))
        levels = pages.tables.get(page, 0)
        for level, name in _LEVELS.items():
            if levels >> level & 1:
                roles.setdefault(name, []).append(one.name)
        report.not_checked += [Absent(f"{one.name}: {a.what}", a.why) for a in missing(pages)]
    report.not_checked += [Absent(what, why) for what, why in known.missing]
    if len(rows) == _MOST_ROWS:
        report.not_checked.append(Absent("more mappings", f"only {_MOST_ROWS:,} are listed"))
    where = counted(len(known.spaces), "address space")
    report.summary = f"physical {physical:#x}: {counted(len(rows), 'mapping')} in {where}"
    what = backing(space, physical)
    if what:
        report.facts.append(("owner", what))
    report.facts += [("used as", f"{name} of {', '.join(names)}") for name, names in roles.items()]
    if known.no_processes:
        report.facts.append(("processes", f"their spaces are not known: {known.no_processes}"))
    columns = ("space", "virtual", "page size", "rights")
    report.tables.append(Table("mappings", columns, rows, frozenset({"virtual"})))
    return report
