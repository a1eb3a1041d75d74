"""Claims of all frames: from the page tables, and from what was there before there were frames."""

from collections.abc import Iterable, Iterator, Set
from dataclasses import dataclass

from model.address_space import (
    DEVICE_BASE,
    IMAGE_START,
    KERNEL_BASE,
    WINDOW_BASE,
    WINDOW_END,
    linear_physical,
)
from model.ledger import Claim, Owner
from model.page_entry import Level
from model.spaces import Space
from model.types import PAGE_BYTES, PhysicalAddress

_LOW_BYTES = 1 << 20  # §4.3: never managed


@dataclass(frozen=True, slots=True)
class BootMemory:
    """What boot took before there was a frame allocator: physical addresses.

    `window_table` is 0 where it is unknown; `reserved` is what the boot loader left, ascending [start, end).
    A kernel that is not `specified` has another address map than docs/spec.md §2; `linear_map` is where it
    maps physical 0, None when it has no such map.
    """

    window_table: int
    image_end: int
    placement_end: int
    reserved: tuple[tuple[int, int], ...]
    specified: bool = True
    linear_map: int | None = None


def claims_of(
    boot: BootMemory, kernel: Space, users: Iterable[Space], free: Iterable[tuple[int, int]]
) -> Iterator[Claim]:
    """Every claim there is; `free` are the [start, end) of free frames."""
    yield from _boot(boot)
    for start, end in free:
        yield Claim(PhysicalAddress(start), PhysicalAddress(end), Owner.FREE, "free list")
    kernels = {table.address for table in kernel.tables}
    yield from _tables(kernel, boot.window_table, set())
    if boot.specified:
        yield from _kernel_pages(kernel, boot.placement_end)
    else:
        yield from _mapped_pages(kernel, boot.linear_map)
    for space in users:
        yield from _tables(space, boot.window_table, kernels)
        yield from _user_pages(space)


def _boot(boot: BootMemory) -> Iterator[Claim]:
    """The fixed parts of memory; boot information inside the first MiB belongs to that."""
    start = linear_physical(IMAGE_START)
    parts: list[tuple[int, int, Owner, str]] = [
        (0, _LOW_BYTES, Owner.LOW, "firmware and boot loader"),
        (start, boot.image_end, Owner.IMAGE, "kernel image"),
    ]
    at = boot.image_end
    for low, high in boot.reserved:  # the placement allocator steps over them (§3.2)
        if high <= at or low >= boot.placement_end:
            continue
        parts.append((at, max(at, low), Owner.PLACEMENT, "placement area"))
        at = high
    parts.append((at, max(at, boot.placement_end), Owner.PLACEMENT, "placement area"))
    parts += [
        (max(low, start), high, Owner.BOOT, "boot loader") for low, high in boot.reserved if high > start
    ]
    for low, high, owner, who in parts:
        if low < high:
            yield Claim(PhysicalAddress(low), PhysicalAddress(high), owner, who)


def _tables(walked: Space, window_table: int, kernels: Set[int]) -> Iterator[Claim]:
    """A space's own tables; those of the kernel's half belong to the kernel, whoever refers there (§5.5)."""
    for table in (*walked.tables, *walked.again):
        if table.virtual >> 63 and table.address in kernels:
            continue
        if table.address == window_table and table.level == Level.PTE:
            continue  # a static table inside the image (§5.1)
        end = PhysicalAddress(table.address + PAGE_BYTES)
        what = f"page table of {walked.name}"
        yield Claim(table.address, end, Owner.TABLE, what, table.virtual, walked.root)


def _kernel_pages(walked: Space, placement_end: int) -> Iterator[Claim]:
    """What the kernel maps beyond its linear image and placement area (§2)."""
    linear_end = KERNEL_BASE + placement_end
    for run in walked.runs:
        linear = run.virtual >= KERNEL_BASE and run.virtual + run.size_bytes <= linear_end
        if linear and run.physical == linear_physical(run.virtual):
            continue
        if WINDOW_BASE <= run.virtual < WINDOW_END:
            owner, what = Owner.KERNEL, "kernel: window"
        elif run.virtual >= DEVICE_BASE:
            owner, what = Owner.DEVICE, "device"
        else:
            owner, what = Owner.KERNEL, "kernel"
        end = PhysicalAddress(run.physical + run.size_bytes)
        yield Claim(run.physical, end, owner, what, run.virtual, walked.root)


def _mapped_pages(walked: Space, linear_map: int | None) -> Iterator[Claim]:
    """What a kernel of another address map has mapped beside its linear map."""
    for run in walked.runs:
        if run.virtual - run.physical != linear_map:
            end = PhysicalAddress(run.physical + run.size_bytes)
            yield Claim(run.physical, end, Owner.KERNEL, "kernel", run.virtual, walked.root)


def _user_pages(walked: Space) -> Iterator[Claim]:
    """The lower half; what a process has in the upper one is the kernel's, or a finding of its own."""
    for run in walked.runs:
        if run.virtual >> 63:
            continue
        end = PhysicalAddress(run.physical + run.size_bytes)
        yield Claim(run.physical, end, Owner.USER, walked.name, run.virtual, walked.root)
