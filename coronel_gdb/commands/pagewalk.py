"""`pagewalk`: one address level by level, or the whole space as ranges (SDM vol. 3A §4.5, §4.6)."""

import argparse
from collections.abc import Iterator
from itertools import islice

from coronel_gdb.checks.paging import page_findings
from coronel_gdb.commands.command import Command, Context, Option
from coronel_gdb.errors import UsageError
from coronel_gdb.lift.space import AddressSpace, explain
from coronel_gdb.report import Absent, Report, Table
from model.invariants.base import Violation
from model.invariants.paging import ALL as RULES
from model.invariants.paging import check_pages
from model.paging import BadTable, FaultReason, Mapping, PageFault, Rights, Step, coalesce, walk_space
from model.types import PhysicalAddress, VirtualAddress

_MOST_PAGES = 20_000_000  # 80 GiB in 4 KiB pages: more is a recursive map or a damaged table
_FLAGS = ((0, "P"), (1, "W"), (2, "U"), (3, "PWT"), (4, "PCD"), (5, "A"), (6, "D"), (8, "G"), (63, "NX"))
_SIZES = {1 << 12: "4 KiB", 1 << 21: "2 MiB", 1 << 30: "1 GiB"}


def run(context: Context, options: argparse.Namespace) -> Report:
    """One address when there is one, else the whole space."""
    space = context.space
    if options.cr3 is not None:
        root = _value(context, options.cr3, "--cr3")
        space = context.space_of(PhysicalAddress(root & 0x000F_FFFF_FFFF_F000))
    if options.address:
        address = _value(context, " ".join(options.address), "address")
        return _one(space, VirtualAddress(address))
    return _whole(space, audit=options.audit)


def _value(context: Context, expression: str, what: str) -> int:
    try:
        value = int(expression, 0)
    except ValueError:
        value = context.target.evaluate(expression)
    if not 0 <= value < 1 << 64:
        raise UsageError(f"pagewalk: {what} {expression} is no 64-bit address")
    return value


def _one(space: AddressSpace, address: VirtualAddress) -> Report:
    found = space.translate(address)
    table = Table(
        "levels",
        ("level", "index", "entry at", "entry", "flags"),
        [_row(step) for step in found.steps],
        frozenset({"entry at", "entry"}),
    )
    if isinstance(found, PageFault):
        report = Report("pagewalk", f"{address:#x}: {explain(found)}", [("cr3", hex(space.root))], [table])
        if found.reason is FaultReason.UNREADABLE:
            report.not_checked.append(Absent(f"translation of {address:#x}", explain(found)))
        return report
    facts: list[tuple[str, object]] = [
        ("physical", hex(found.physical)),
        ("page", f"{_SIZES[found.page_bytes]} at {found.physical & -found.page_bytes:#x}"),
        ("rights", f"{rights(found.rights)} (effective over all levels)"),
        ("cr3", hex(space.root)),
    ]
    size = _SIZES[found.page_bytes]
    summary = f"{address:#x} -> physical {found.physical:#x}, {size} page, {rights(found.rights)}"
    return Report("pagewalk", summary, facts, [table])


def _row(step: Step) -> tuple[object, ...]:
    return step.level.name, step.index, step.entry_address, step.entry, flags(step)


def flags(step: Step) -> str:
    """The entry's own bits by their SDM names; rights here are raw, not combined over the levels."""
    if not step.entry & 1:
        return "not present"
    names = [name for bit, name in _FLAGS if step.entry >> bit & 1 and (bit != 8 or _is_leaf(step))]
    if step.level > 1 and step.entry >> 7 & 1:
        names.append("PS")
    return " ".join(names)


def _is_leaf(step: Step) -> bool:
    return step.level == 1 or bool(step.entry >> 7 & 1)


def rights(effective: Rights) -> str:
    """Effective rights in the way of `ls`, with who may use them."""
    letters = f"r{'w' if effective.writable else '-'}{'x' if effective.executable else '-'}"
    return f"{letters} {'user' if effective.user else 'kernel'}"


def _whole(space: AddressSpace, *, audit: bool) -> Report:
    bad: list[BadTable] = []
    violations: list[Violation] = []
    pages = 0
    ended_early = False

    def mapped() -> Iterator[Mapping]:
        nonlocal pages, ended_early
        for found in walk_space(space.table, space.root, space.mode):
            if isinstance(found, BadTable):
                bad.append(found)
            else:
                pages += 1
                if audit:
                    violations.extend(check_pages((found,)))
                yield found
            if pages >= _MOST_PAGES:
                ended_early = True
                return

    ranges = list(coalesce(mapped()))
    rows = [
        (r.virtual, r.end, r.physical, r.end - r.virtual, r.pages, _SIZES[r.page_bytes], rights(r.rights))
        for r in ranges
    ]
    total = sum(r.end - r.virtual for r in ranges)
    report = Report("pagewalk", f"{pages:,} pages in {len(ranges):,} ranges, {total >> 10:,} KiB mapped")
    report.facts.append(("cr3", hex(space.root)))
    if audit:
        report.checked = pages * len(RULES)
        report.findings += page_findings(violations)
        report.facts.append(("audit", f"{len(report.findings)} findings, {report.checked:,} checks"))
    columns = ("start", "end", "physical", "size", "pages", "page size", "rights")
    report.tables.append(Table("ranges", columns, rows, frozenset({"start", "end", "physical", "size"})))
    report.not_checked += [_absent(table) for table in islice(bad, 100)]
    if len(bad) > 100:
        report.not_checked.append(Absent("more damaged tables", f"{len(bad) - 100} are not listed"))
    if ended_early:
        report.not_checked.append(Absent("rest of the space", f"stopped after {pages:,} pages"))
    return report


def _absent(table: BadTable) -> Absent:
    place = f"{table.level.name} table {table.table:#x}, for addresses from {table.virtual:#x}"
    if table.reason is FaultReason.RESERVED_BIT:
        return Absent(f"{place}, index {table.index}", f"reserved bits {table.reserved_bits:#x} are set")
    return Absent(place, "the table cannot be read")


COMMAND = Command(
    "pagewalk",
    "Translate an address level by level, or list the whole address space as ranges.",
    "With an ADDRESS (a number or any expression) every level is shown with its raw entry; rights are\n"
    "those effective over all levels. Without one, all mappings are listed, coalesced where address,\n"
    "physical address, page size and rights continue; aliases are kept.",
    "pagewalk g_kernel_heap",
    (
        Option(
            "address",
            "what to translate: a number or an expression of the debugger's",
            "ADDRESS|EXPRESSION",
            True,
        ),
        Option(
            "--audit", "of the whole space, check the rights too: W^X, user bit in the upper half, null guard"
        ),
        Option("--cr3", "walk the tables at this physical address instead of the current CR3", "X"),
    ),
    run,
)
