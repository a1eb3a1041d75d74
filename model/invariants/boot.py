"""Invariants of what the boot fixed for good (docs/spec.md §9): variables, memory map, ring of the trace.

The memory map says where every allocation of the boot lies: another witness of what is kept elsewhere.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from model import layouts
from model.address_space import DEVICE_BASE, DEVICE_END, IMAGE_END, linear, linear_physical
from model.invariants.base import Invariant, Violation
from model.invariants.frame_manager import managed
from model.memory import PhysicalRange
from model.placement import ALIGNMENT_BYTES, placed
from model.records import FrameManager
from model.types import PAGE_BYTES, is_aligned

VARIABLE: Final = Invariant(
    "boot.variable",
    "pointers to managers, kernel_directory_ and __placement are those of the boot",
    "§3.4, §5.6, §9: the order of the boot and the memory map give them, nothing changes them later",
)
MAP: Final = Invariant(
    "boot.memory_map",
    "RAM and reserved ranges are whole pages, ascend and do not touch, at most 64 and 32; image and "
    "placement area lie in one RAM region; the frame manager was set up by them",
    "§3.3, §4.1–4.3",
)
RING: Final = Invariant(
    "boot.trace_ring",
    "ring_ and capacity_ are what the boot placed; the newest record and the oldest one lie where next_ says",
    "§12.1–12.2",
)
NEXT_DEVICE: Final = Invariant(
    "boot.next_device",
    "next_device_ is a page of the device space, behind every device page, within their tables",
    "§5.4, §5.7: it only grows, and tables stay",
)

ALL: Final = (VARIABLE, MAP, RING, NEXT_DEVICE)

_MOST_RAM: Final = 64
_MOST_RESERVED: Final = 32
_MOST_RECORDS: Final = 1 << 20
_ONE_MIB: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class BootMap:
    """The kernel's copy of the memory map, at `address`: its ranges, and how many it says that there are."""

    address: int
    ram: Sequence[PhysicalRange]
    reserved: Sequence[PhysicalRange]
    ram_count: int
    reserved_count: int


@dataclass(frozen=True, slots=True)
class Ring:
    """The trace's description of itself, at `address`.

    `newest` and `following` are the sequence numbers of the records where the last one was written and where
    the next one goes, None where there is none; `unread` says that these places could not be read.
    """

    address: int
    ring: int
    capacity: int
    next: int
    newest: int | None = None
    following: int | None = None
    unread: bool = False


@dataclass(frozen=True, slots=True)
class Placed:
    """Physical addresses of what the boot placed, and where its placement area ends."""

    frames: int
    regions: int
    heap: int
    ring: int
    pool: int
    nodes: int
    end: int


def placed_by(boot: BootMap, records: int) -> Placed:
    """Steps 3 to 7 of the boot (§9) with a trace of so many records."""
    at = int(linear_physical(IMAGE_END))
    node_count = memory_end(boot) // PAGE_BYTES
    starts: list[int] = []
    for size_bytes, alignment in (
        (layouts.PHYSICAL.size_bytes, ALIGNMENT_BYTES),
        (layouts.VIRT.size_bytes, ALIGNMENT_BYTES),
        (layouts.HEAP.size_bytes, ALIGNMENT_BYTES),
        (layouts.TRACE_RECORD.size_bytes * records, PAGE_BYTES),
        (PAGE_BYTES, PAGE_BYTES),
        (layouts.FRAME.size_bytes * node_count, PAGE_BYTES),
    ):
        start = placed(at, size_bytes, alignment, boot.reserved) if size_bytes else 0
        starts.append(start)
        at = start + size_bytes if size_bytes else at
    frames, regions, heap, ring, pool, nodes = starts
    return Placed(frames, regions, heap, ring, pool, nodes, at)


def memory_end(boot: BootMap) -> int:
    """The end of the highest RAM region (§4.4)."""
    return max((int(region.end) for region in boot.ram), default=0)


def check_map(boot: BootMap, manager: FrameManager | None, placement: int) -> list[Violation]:
    """Judge the memory map by itself, and by a frame manager that agrees with itself but not with it."""
    violations = []

    def broken(field: str, found: int, expected: int | None, because: str) -> None:
        violations.append(Violation(MAP, boot.address, field, found, expected, because))

    for name, ranges, count, most in (
        ("ram", boot.ram, boot.ram_count, _MOST_RAM),
        ("reserved", boot.reserved, boot.reserved_count, _MOST_RESERVED),
    ):
        if count > most or (name == "ram" and not count):
            broken(
                f"{name}_count", count, None, f"there are 1 to {most}" if name == "ram" else f"at most {most}"
            )
        for index, piece in enumerate(ranges):
            if not (is_aligned(piece.start, PAGE_BYTES) and is_aligned(piece.end, PAGE_BYTES)):
                broken(f"{name}[{index}]", piece.start, None, f"to {piece.end:#x}: no whole pages")
            elif piece.start >= piece.end:
                broken(f"{name}[{index}]", piece.start, None, f"to {piece.end:#x}: it is empty")
        for index, (before, piece) in enumerate(pairwise(ranges), 1):
            if before.end >= piece.start:
                broken(f"{name}[{index}]", piece.start, None, f"the one before ends at {before.end:#x}")
    if not any(region.start <= _ONE_MIB and placement <= region.end for region in boot.ram):
        broken("ram", 0, None, f"no region holds image and placement area, 1 MiB to {placement:#x}")
    if not violations and manager is not None:
        end = memory_end(boot)
        if manager.physical_end == manager.node_count * PAGE_BYTES != end:
            broken(
                "ram", end, int(manager.physical_end), "physical_end_ and node_count_ agree on where it ends"
            )
        elif _differing(manager, managed(boot.ram, boot.reserved, placement)) and _is_in_order(manager):
            broken(
                "reserved", boot.reserved_count, None, "ranges_ of the frame manager are those of another map"
            )
    return violations


def _differing(manager: FrameManager, wanted: Sequence[tuple[int, int]]) -> bool:
    return [(int(start), int(end)) for start, end in manager.ranges] != list(wanted)


def _is_in_order(manager: FrameManager) -> bool:
    """Whether the manager's ranges are whole pages in descending order, apart from each other."""
    whole = all(not (start | end) & (PAGE_BYTES - 1) and start < end for start, end in manager.ranges)
    return whole and all(low[1] < high[0] for high, low in pairwise(manager.ranges))


def check_variables(
    boot: BootMap,
    found: Mapping[str, tuple[int, int]],
    where: Placed,
    end: int,
) -> list[Violation]:
    """Judge variables, role → address and value; `end`: the end of the placement area by other witnesses."""
    lowest = managed(boot.ram, boot.reserved, end)
    expected = {
        "frames": (int(linear(where.frames)), "the first allocation of the boot"),
        "regions": (int(linear(where.regions)), "the second allocation of the boot"),
        "heap": (int(linear(where.heap)), "the third allocation of the boot"),
        "placement": (end, "the allocations of the boot end there"),
    }
    if lowest:
        expected["kernel_directory"] = (lowest[-1][0], "the lowest managed frame, which was taken first")
    return [
        Violation(VARIABLE, found[role][0], role, found[role][1], value, because)
        for role, (value, because) in expected.items()
        if role in found and found[role][1] != value
    ]


def check_ring(ring: Ring, where: Placed, end: int) -> list[Violation]:
    """Judge the trace's description; `where` was placed with its capacity, `end` is known from elsewhere."""
    violations = []

    def broken(field: str, found: int, expected: int | None, because: str) -> None:
        violations.append(Violation(RING, ring.address, field, found, expected, because))

    if ring.capacity > _MOST_RECORDS:
        broken("capacity", ring.capacity, None, f"at most {_MOST_RECORDS:,} records")
    elif where.end != end:
        broken(
            "capacity",
            ring.capacity,
            None,
            f"then the placement area would end at {where.end:#x}, not {end:#x}",
        )
    address = int(linear(where.ring)) if where.ring else 0
    if ring.ring != address:
        broken(
            "ring",
            ring.ring,
            address,
            "the fourth allocation of the boot" if address else "there is no trace",
        )
    elif not violations and not ring.unread:
        oldest = ring.next - ring.capacity
        for place, number, wanted in (
            ("the last record", ring.newest, ring.next - 1 if ring.next and ring.capacity else None),
            ("the next record", ring.following, oldest if oldest >= 0 and ring.capacity else None),
        ):
            if number != wanted:
                because = f"in the place of {place} lies {_record(number)}, not {_record(wanted)}"
                broken("next", ring.next, None, because)
                break
    return violations


def _record(number: int | None) -> str:
    return "none" if number is None else f"#{number}"


def check_next_device(address: int, value: int, mapped_end: int, tables_end: int) -> list[Violation]:
    """Judge where the next device goes: behind `mapped_end`, before the end of the tables' span."""
    because = ""
    if not is_aligned(value, PAGE_BYTES) or not DEVICE_BASE <= value <= DEVICE_END:
        because = f"it is no page of [{int(DEVICE_BASE):#x}, {int(DEVICE_END):#x}]"
    elif value < mapped_end:
        because = f"device pages reach up to {mapped_end:#x}"
    elif value > max(tables_end, DEVICE_BASE):
        because = f"no table was ever made for devices from {max(tables_end, int(DEVICE_BASE)):#x} on"
    expected = int(DEVICE_BASE) if not tables_end else None
    return [Violation(NEXT_DEVICE, address, "next_device", value, expected, because)] if because else []
