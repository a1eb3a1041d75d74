"""`--compare`: the own walk against QEMU's, page by page: by one list of them, or by a question for each."""

from collections.abc import Iterator
from itertools import chain, islice

from coronel_gdb.checks.paging import QEMU_AGREES, page_findings
from coronel_gdb.commands.walks.words import counted
from coronel_gdb.lift.pages import LEVEL_SHIFT, SIZE_OF_LEVEL, Pages, Progress
from coronel_gdb.lift.qemu_view import monitor_of, physical_by_qemu, require_same_root, tlb_pages
from coronel_gdb.lift.space import AddressSpace
from coronel_gdb.lift.whole import whole_space
from coronel_gdb.protocols import Target
from coronel_gdb.report import Report
from model.invariants.base import Violation
from model.paging import FaultReason, Translation
from model.types import PAGE_BYTES, VirtualAddress

_MOST_LINES = 3000  # of `info tlb` through a debugger's stub
_MOST_QUESTIONS = 500_000  # half a minute in GDB; of a larger space, every second page or fewer
_GAPS = 1000


def compare_space(target: Target, space: AddressSpace, progress: Progress) -> Report:
    """Every page against `info tlb`; a large space through a debugger's stub against `gva2gpa`."""
    monitor = monitor_of(target)
    require_same_root(monitor, space.root)
    own = whole_space(space, coalesced=False, effective=False, through_self_maps=True, progress=progress)
    if len(own) > _MOST_LINES and not monitor.long_answers:
        joined = whole_space(space, through_self_maps=True, progress=progress)
        return _asked(target, space, joined, progress)
    theirs = tlb_pages(monitor.monitor("info tlb"))
    # QEMU shows an entry with reserved bits as a page; this walk reports it as damage.
    damaged = {bad.virtual for bad in own.bad if bad.reason is FaultReason.RESERVED_BIT}
    mine, qemu = _by_address(own), _by_address(theirs)
    violations = [
        _violation(virtual, mine.get(virtual), qemu.get(virtual))
        for virtual in sorted(mine.keys() | qemu.keys())
        if mine.get(virtual) != qemu.get(virtual) and virtual not in damaged
    ]
    report = Report("pagewalk", _verdict(len(violations), counted(len(own), "page"), "info tlb"))
    report.findings += page_findings(violations)
    report.checked = len(mine.keys() | qemu.keys())
    return report


def compare_one(target: Target, space: AddressSpace, address: int) -> Report:
    """One address against `gva2gpa`."""
    monitor = monitor_of(target)
    require_same_root(monitor, space.root)
    violations = [found for found in (_one(target, space, address),) if found is not None]
    report = Report("pagewalk", _verdict(len(violations), f"{address:#x}", "gva2gpa"))
    report.findings += page_findings(violations)
    report.checked = 1
    return report


def _asked(target: Target, space: AddressSpace, own: Pages, progress: Progress) -> Report:
    """Every page, and a sample of what lies between them: where each of them leads."""
    gaps = list(_gaps(own))
    step = 1 + own.count // _MOST_QUESTIONS
    addresses = chain(islice(_pages(own), 0, None, step), gaps[:: 1 + len(gaps) // _GAPS])
    violations, asked = [], 0
    for address in addresses:
        if asked % 64 == 0:
            progress(asked)
        asked += 1
        found = _one(target, space, address)
        if found is not None:
            violations.append(found)
    sample = f"a sample of {own.count // step:,} of " if step > 1 else ""
    what = f"{sample}{own.count:,} pages in {len(own):,} ranges, and on a sample of what is not mapped"
    report = Report("pagewalk", _verdict(len(violations), what, "gva2gpa"))
    report.facts.append(("rights", "not compared: `gva2gpa` tells addresses alone"))
    report.findings += page_findings(violations)
    report.checked = asked
    return report


def _pages(own: Pages) -> Iterator[int]:
    """An address in every page: the first byte, of large pages the last one."""
    for start, pages, kind in zip(own.starts, own.pages, own.kinds, strict=True):
        size = SIZE_OF_LEVEL[kind >> LEVEL_SHIFT]
        first = start if size == PAGE_BYTES else start + size - 1
        yield from range(first, first + pages * size, size)


def _gaps(own: Pages) -> Iterator[int]:
    """What follows ranges and belongs to none."""
    for index in range(len(own)):
        end = own.starts[index] + own.size_bytes(index)
        if index + 1 == len(own) or own.starts[index + 1] != end:
            yield end % (1 << 64)


def _one(target: Target, space: AddressSpace, address: int) -> Violation | None:
    found = space.translate(VirtualAddress(address))
    mine = int(found.physical) if isinstance(found, Translation) else None
    theirs = physical_by_qemu(monitor_of(target), address)
    return None if mine == theirs else _violation(address, _side(mine), _side(theirs))


def _side(physical: int | None) -> tuple[int, int] | None:
    return None if physical is None else (physical, 0)


def _by_address(pages: Pages) -> dict[int, tuple[int, int]]:
    """Virtual → physical and kind; QEMU shows both large sizes alike, so they count as one."""
    return {
        start: (physical, kind if kind >> LEVEL_SHIFT < 3 else kind - (1 << LEVEL_SHIFT))
        for start, physical, kind in zip(pages.starts, pages.physical, pages.kinds, strict=True)
    }


def _violation(virtual: int, mine: tuple[int, int] | None, theirs: tuple[int, int] | None) -> Violation:
    because = f"here {_text(mine)}, in QEMU {_text(theirs)}"
    found, expected = (0 if side is None else side[0] for side in (mine, theirs))
    return Violation(QEMU_AGREES, virtual, "physical", found, expected, because)


def _text(side: tuple[int, int] | None) -> str:
    if side is None:
        return "not mapped"
    size = SIZE_OF_LEVEL.get(side[1] >> LEVEL_SHIFT)
    return f"{side[0]:#x}" + (
        f", {size >> 10} KiB, W {side[1] & 1} U {side[1] >> 1 & 1} X {side[1] >> 2 & 1}" if size else ""
    )


def _verdict(differences: int, what: str, by: str) -> str:
    if differences:
        return f"{counted(differences, 'difference')} from QEMU's own walk ({by}) in {what}"
    return f"QEMU's own walk ({by}) agrees on {what}"
