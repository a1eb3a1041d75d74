"""Who has a frame: claims of physical ranges, and what every stretch of memory is claimed as.

A frame of a sound kernel has one owner (docs/spec.md §4, §5, §14): it is free, a page table, mapped by one
process, mapped by the kernel, or part of what was there before the frame allocator. Claims are ranges, so
that a machine of gigabytes is a few hundred rows.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum

from model.types import PhysicalAddress


class Owner(Enum):
    """What a frame can be."""

    FREE = "free"
    TABLE = "page table"
    USER = "mapped by a process"
    KERNEL = "mapped by the kernel"
    IMAGE = "kernel image and stack"
    PLACEMENT = "placement area"
    BOOT = "boot information and modules"
    LOW = "first MiB"
    DEVICE = "device"


@dataclass(frozen=True, slots=True)
class Claim:
    """Physical [start, end) is `owner`'s; `who` names the claimant.

    `virtual` is where `start` is mapped, 0 when the claim is no mapping; `root` is the space's top table.
    """

    start: PhysicalAddress
    end: PhysicalAddress
    owner: Owner
    who: str
    virtual: int = 0
    root: int = 0


@dataclass(frozen=True, slots=True)
class Segment:
    """Physical [start, end), all frames of which have the same claims; none: nobody has them."""

    start: PhysicalAddress
    end: PhysicalAddress
    claims: tuple[Claim, ...]


def sweep(claims: Iterable[Claim]) -> Iterator[Segment]:
    """The claimed addresses in ascending order, cut wherever a claim begins or ends, gaps included."""
    events: list[tuple[int, int, Claim]] = []
    for number, claim in enumerate(claims):
        if claim.start < claim.end:
            events += [(claim.start, number + 1, claim), (claim.end, -number - 1, claim)]
    events.sort(key=lambda event: (event[0], event[1]))
    active: dict[int, Claim] = {}
    at = 0
    for address, number, claim in events:
        if address > at:
            yield Segment(PhysicalAddress(at), PhysicalAddress(address), tuple(active.values()))
            at = address
        if number > 0:
            active[number] = claim
        else:
            del active[-number]
