"""Findings about heap blocks that nothing refers to, and about the pages that a heap lies on."""

from collections.abc import Iterable, Sequence

from coronel_gdb.checks import catalogue
from coronel_gdb.report import Finding
from model.records import HeapBlock
from model.spaces import MappedRun, Space

_SHOWN = 8


def leak_findings(lost: Sequence[HeapBlock], header_bytes: int) -> list[Finding]:
    """One finding for all lost blocks: they tend to come from one place."""
    if not lost:
        return []
    code, total = catalogue.HEAP_LEAK, sum(block.size_bytes for block in lost)
    lines = [
        f"{block.address:#x}: {block.size_bytes} bytes, data at {block.address + header_bytes:#x}"
        for block in lost[:_SHOWN]
    ]
    if len(lost) > _SHOWN:
        lines.append(f"… and {len(lost) - _SHOWN} more blocks (all of them with --json)")
    lines += [
        f"lost     {len(lost)} blocks, {total:,} bytes: no word in data, stack, registers, placement area,",
        "         kernel pages or reachable blocks points into their data",
        "rule     a used block is referred to by something (inferred, not recorded by the kernel)",
    ]
    data = {
        "invariant": "heap.referenced",
        "bytes": total,
        "blocks": [{"block": block.address, "size": block.size_bytes} for block in lost],
    }
    first = lost[0].address
    return [Finding(code.code, code.title, first, tuple(lines), data, (f"x/16gx {first + header_bytes:#x}",))]


def page_findings(regions: Iterable[tuple[int, int]], kernel: Space) -> list[Finding]:
    """Pages of heap regions that are mapped, but not as memory of the kernel alone that is never run."""
    bad: list[tuple[int, MappedRun]] = []
    for start, end in regions:
        for run in kernel.runs:
            at = max(start, run.virtual)
            if at < min(end, run.virtual + run.size_bytes) and not _proper(run):
                bad.append((at, run))
    if not bad:
        return []
    code = catalogue.HEAP_PAGES
    lines = [
        f"{at:#x}: entry {run.entry:#x}, {_rights(run)}" for at, run in sorted(bad, key=lambda pair: pair[0])
    ]
    shown = (*lines[:_SHOWN], "rule     heap pages are RW- for the kernel (docs/spec.md §2, §7.8)")
    data = {
        "invariant": "heap.page_rights",
        "places": [{"virtual": at, "entry": run.entry} for at, run in bad],
    }
    at = min(at for at, _ in bad)
    return [Finding(code.code, code.title, at, shown, data, (f"pagewalk {at:#x}",))]


def _proper(run: MappedRun) -> bool:
    return run.rights.writable and not run.rights.executable and not run.rights.user


def _rights(run: MappedRun) -> str:
    who = "ring 3" if run.rights.user else "kernel"
    return f"{'w' if run.rights.writable else 'not writable'}{', x' if run.rights.executable else ''}, {who}"
