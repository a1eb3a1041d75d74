"""The address space as QEMU itself walks it, by the words of its monitor."""

import re

from coronel_gdb.errors import TargetError
from coronel_gdb.lift.pages import EXECUTE, LEVEL_SHIFT, USER, WRITE, Pages
from coronel_gdb.protocols import HasMonitor, Target
from model.types import PhysicalAddress

_LINE = re.compile(r"^([0-9a-f]{16}): ([0-9a-f]{16}) ([XGPDACTUW-]{9})$")
_CR3 = re.compile(r"\bCR3=([0-9a-f]+)")
_GPA = re.compile(r"gpa: (0x[0-9a-f]+|0)\b")  # 0 has no prefix there


def monitor_of(target: Target) -> HasMonitor:
    """The target's monitor; `TargetError` when the host has none."""
    if not isinstance(target, HasMonitor):
        raise TargetError("this target has no QEMU monitor to compare with: it is no running QEMU")
    return target


def require_same_root(monitor: HasMonitor, root: PhysicalAddress) -> None:
    """`TargetError` unless the monitor's CPU uses the tables at `root`."""
    found = _CR3.search(monitor.monitor("info registers"))
    theirs = int(found[1], 16) & 0x000F_FFFF_FFFF_F000 if found else None
    if theirs != root:
        shown = "unknown" if theirs is None else f"{theirs:#x}"
        raise TargetError(
            f"QEMU's monitor looks at a CPU with cr3 {shown}, not {root:#x}: it can only compare that one"
        )


def tlb_pages(text: str) -> Pages:
    """`info tlb` as pages, each by itself; rights are those of the leaf alone, as QEMU shows them.

    QEMU does not tell a 1 GiB page from a 2 MiB one.
    """
    pages = Pages()
    for line in text.splitlines():
        found = _LINE.match(line.strip())
        if found is None:
            raise TargetError(f"QEMU's `info tlb` says something unexpected: {line.strip()[:80]}")
        flags = found[3]
        kind = (WRITE * ("W" in flags)) | (USER * ("U" in flags)) | (0 if "X" in flags else EXECUTE)
        pages.starts.append(int(found[1], 16))
        pages.physical.append(int(found[2], 16))
        pages.pages.append(1)
        pages.kinds.append(kind | (2 if "P" in flags else 1) << LEVEL_SHIFT)
    return pages


def physical_by_qemu(monitor: HasMonitor, virtual: int) -> int | None:
    """QEMU's own translation of one address (`gva2gpa`), None when it has none."""
    found = _GPA.search(monitor.monitor(f"gva2gpa {virtual:#x}"))
    return int(found[1], 0) if found else None
