"""Invariants of who has a frame (docs/spec.md §2, §4, §5.1, §14): one owner each, no border crossed."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from model.invariants.base import Invariant
from model.ledger import Claim, Owner, Segment
from model.types import PAGE_BYTES, PhysicalAddress

TWO_PROCESSES: Final = Invariant(
    "owner.two_processes",
    "a frame is mapped by one process at most",
    "§14.6: each process frees its own frames",
)
USER_TABLE: Final = Invariant(
    "owner.user_table", "no page table is mapped for ring 3", "§5.1: who writes a table writes its own rights"
)
USER_KERNEL: Final = Invariant(
    "owner.user_kernel",
    "no frame of the kernel is mapped for ring 3",
    "§2: nothing of the kernel is for ring 3",
)
FREE_MAPPED: Final = Invariant(
    "owner.free_mapped", "a free frame is mapped nowhere", "§4.6: the next alloc hands it to somebody else"
)
FREE_TABLE: Final = Invariant(
    "owner.free_table", "a free frame is no page table", "§5.1: a table handed out again is overwritten"
)
FREE_RESERVED: Final = Invariant(
    "owner.free_reserved",
    "a free frame is no part of image, placement area, boot information or first MiB",
    "§4.3: managed ranges leave them out",
)
SHARED_TABLE: Final = Invariant(
    "owner.shared_table",
    "a frame is a page table in one place",
    "§5.5: only slot 511 is shared, by its entry",
)
MAPPED_TABLE: Final = Invariant(
    "owner.mapped_table", "no page table is mapped", "§5.1: tables are written through windows only"
)
FOREIGN_TABLE: Final = Invariant(
    "owner.foreign_table", "page tables are frames from physical::alloc", "§5.1: but for window_table_"
)
MAPPED_TWICE: Final = Invariant(
    "owner.mapped_twice", "a frame is mapped once", "§7.8, §14.3, §15.5: every page gets a frame of its own"
)
DEVICE_RAM: Final = Invariant(
    "owner.device_ram", "a device is no frame in use", "§5.7: devices lie outside managed RAM"
)
OUTSIDE: Final = Invariant(
    "owner.outside", "a page of memory leads to RAM", "§4.1, §5.7: only devices lie outside it"
)
LOST: Final = Invariant(
    "owner.lost",
    "every managed frame is free, a page table or mapped",
    "§4.6–4.7: a frame taken is used or freed",
)

ALL: Final = (
    USER_TABLE,
    TWO_PROCESSES,
    USER_KERNEL,
    FREE_TABLE,
    FREE_MAPPED,
    FREE_RESERVED,
    MAPPED_TABLE,
    SHARED_TABLE,
    FOREIGN_TABLE,
    MAPPED_TWICE,
    DEVICE_RAM,
    OUTSIDE,
    LOST,
)
"""In the order of their weight: a frame that breaks several is reported by the first."""

ANYWHERE: Final = (USER_TABLE, FREE_TABLE, FREE_MAPPED, FREE_RESERVED, SHARED_TABLE, OUTSIDE, LOST)
"""Those that hold in a kernel of another design than docs/spec.md."""

ISOLATION: Final = (USER_TABLE, TWO_PROCESSES, USER_KERNEL, SHARED_TABLE)

_KERNELS_OWN: Final = {Owner.KERNEL, Owner.IMAGE, Owner.PLACEMENT, Owner.BOOT, Owner.LOW}
_FIXED: Final = {Owner.IMAGE, Owner.PLACEMENT, Owner.BOOT, Owner.LOW}
_MAPPED: Final = {Owner.USER, Owner.KERNEL, Owner.DEVICE}


@dataclass(frozen=True, slots=True)
class Conflict:
    """Frames [start, end) with the claims that may not meet; without claims: lost."""

    invariant: Invariant
    start: PhysicalAddress
    end: PhysicalAddress
    claims: tuple[Claim, ...]

    @property
    def frames(self) -> int:
        """How many frames it is about."""
        return (self.end - self.start) // PAGE_BYTES


def check_owners(
    segments: Iterable[Segment],
    managed: Sequence[tuple[PhysicalAddress, PhysicalAddress]],
    *,
    ram_end: int | None = None,
    lost_known: bool = True,
    rules: Sequence[Invariant] = ALL,
) -> list[Conflict]:
    """Judge every stretch of memory by its claims; `managed` ranges must be claimed whole.

    Pages at or above `ram_end` lead nowhere. `lost_known` is False when not all claims could be gathered:
    then nothing is called lost. `rules` are asked, in their order.
    """
    conflicts = []
    claimed_to = 0
    for segment in segments:
        claimed_to = segment.end
        if segment.claims:
            broken = _broken(segment.claims, rules)
            if broken is None and ram_end is not None and segment.start >= ram_end:
                broken = _outside(segment.claims)
            if broken is not None:
                conflicts.append(Conflict(broken, segment.start, segment.end, segment.claims))
        elif lost_known:
            conflicts += _lost(segment.start, segment.end, managed)
    if lost_known:
        conflicts += _lost(claimed_to, max((end for _, end in managed), default=0), managed)
    return conflicts


def _lost(start: int, end: int, managed: Sequence[tuple[int, int]]) -> list[Conflict]:
    inside = [(max(start, low), min(end, high)) for low, high in sorted(managed)]
    return [
        Conflict(LOST, PhysicalAddress(low), PhysicalAddress(high), ()) for low, high in inside if low < high
    ]


def _outside(claims: tuple[Claim, ...]) -> Invariant | None:
    memory = {Owner.USER, Owner.KERNEL, Owner.TABLE}
    return OUTSIDE if any(claim.owner in memory for claim in claims) else None


def _broken(claims: tuple[Claim, ...], rules: Sequence[Invariant]) -> Invariant | None:
    """The weightiest rule that these claims of one frame break together."""
    if len(claims) == 1:
        return None
    owners = [claim.owner for claim in claims]
    kinds = set(owners)
    user_roots = {claim.root for claim in claims if claim.owner is Owner.USER}
    mappings = sum(owner in _MAPPED for owner in owners)
    aliased = Owner.KERNEL in kinds and bool(kinds & {Owner.IMAGE, Owner.PLACEMENT})
    verdicts = {
        USER_TABLE: {Owner.USER, Owner.TABLE} <= kinds,
        TWO_PROCESSES: len(user_roots) > 1,
        USER_KERNEL: Owner.USER in kinds and bool(kinds & _KERNELS_OWN),
        FREE_TABLE: {Owner.FREE, Owner.TABLE} <= kinds,
        FREE_MAPPED: Owner.FREE in kinds and bool(kinds & _MAPPED),
        FREE_RESERVED: Owner.FREE in kinds and bool(kinds & _FIXED),
        MAPPED_TABLE: Owner.TABLE in kinds and bool(kinds & _MAPPED),
        SHARED_TABLE: owners.count(Owner.TABLE) > 1,
        FOREIGN_TABLE: Owner.TABLE in kinds and bool(kinds & _FIXED),
        MAPPED_TWICE: (mappings > 1 and Owner.DEVICE not in kinds) or aliased,
        DEVICE_RAM: Owner.DEVICE in kinds and bool(kinds & {Owner.USER, Owner.KERNEL}),
    }
    return next((rule for rule in rules if verdicts.get(rule)), None)
