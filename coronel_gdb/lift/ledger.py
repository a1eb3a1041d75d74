"""Claims of all frames, with the kernel's own variables for what was there before there were frames."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from coronel_gdb.errors import ReadFault
from coronel_gdb.lift.all_spaces import LiftedSpaces
from coronel_gdb.lift.space import AddressSpace
from coronel_gdb.profiles.schema import ResolvedProfile
from coronel_gdb.protocols import Target
from model.address_space import IMAGE_START, linear_physical
from model.claims import BootMemory, claims_of
from model.ledger import Claim
from model.paging import FaultReason
from model.types import PAGE_BYTES, VirtualAddress, align_up


@dataclass(slots=True)
class Ledger:
    """All claims; `incomplete` are the reasons for which somebody's claims may be missing."""

    claims: list[Claim] = field(default_factory=list)
    incomplete: list[str] = field(default_factory=list)


def gather(
    target: Target,
    space: AddressSpace,
    profile: ResolvedProfile,
    spaces: LiftedSpaces,
    free: Iterable[tuple[int, int]],
) -> Ledger:
    """Every claim there is; `free` are the [start, end) of free frames."""
    boot = _boot_memory(target, space, profile)
    incomplete = [
        f"{walked.name}: the {bad.level.name} table {bad.table:#x} "
        + ("cannot be read" if bad.reason is FaultReason.UNREADABLE else "is damaged")
        for walked in spaces.all
        for bad in walked.bad
    ]
    return Ledger(
        list(claims_of(boot, spaces.kernel, (user.space for user in spaces.users), free)), incomplete
    )


def _boot_memory(target: Target, space: AddressSpace, profile: ResolvedProfile) -> BootMemory:
    """What the kernel's own variables say of it; what has no variable, or cannot be read, is none."""

    def address(role: str) -> int:
        name = profile.image.get(role)
        return (target.symbol(name) if name else None) or 0

    try:
        variable = VirtualAddress(address("placement"))
        placement = space.read_u64(variable) if variable else 0
    except ReadFault:
        placement = 0
    window = address("window_table")
    image_end: int = linear_physical(address("end") or IMAGE_START)
    return BootMemory(
        window_table=linear_physical(window) if window else 0,
        image_end=image_end,
        placement_end=max(align_up(placement, PAGE_BYTES), image_end),
        reserved=tuple(_reserved(target, space, profile)),
        specified=profile.specified,
        linear_map=profile.linear_map,
    )


def _reserved(target: Target, space: AddressSpace, profile: ResolvedProfile) -> Iterator[tuple[int, int]]:
    """The kernel's own list of what the boot loader left (§4.2); nothing when the kernel keeps none."""
    boot = profile.boot_map
    variable = target.symbol(boot.symbol) if boot else None
    if boot is None or variable is None:
        return
    try:
        data = space.read(variable, boot.structure.size_bytes)
    except ReadFault:
        return
    flat = boot.structure.array(data, "reserved")
    count = boot.structure.decode(data)["reserved_count"]
    yield from sorted(list(zip(flat[::2], flat[1::2], strict=True))[:count])
