"""Claims of all frames: from the free list, the page tables, and what was there before there were frames."""

from collections.abc import Iterable, Iterator, Set
from dataclasses import dataclass, field

from coronel_gdb.errors import ReadFault
from coronel_gdb.lift.space import AddressSpace
from coronel_gdb.lift.spaces import LiftedSpaces
from coronel_gdb.profiles.schema import ResolvedProfile
from coronel_gdb.protocols import Target
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
from model.types import PAGE_BYTES, PhysicalAddress, align_up

_LOW_BYTES = 1 << 20  # §4.3: never managed


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
    ledger = Ledger()
    fixed = _Fixed(target, space, profile)
    ledger.claims += fixed.claims()
    ledger.claims += [
        Claim(PhysicalAddress(start), PhysicalAddress(end), Owner.FREE, "free list") for start, end in free
    ]
    kernels = {table.address for table in spaces.kernel.tables}
    for walked in spaces.all:
        ledger.claims += _tables(
            walked, fixed.window_table, kernels if walked is not spaces.kernel else set()
        )
        ledger.claims += (
            _kernel_pages(spaces.kernel, fixed) if walked is spaces.kernel else _user_pages(walked)
        )
        ledger.incomplete += [
            f"{walked.name}: the {bad.level.name} table {bad.table:#x} is damaged" for bad in walked.bad
        ]
    return ledger


class _Fixed:
    """What boot took before there was a frame allocator: by the kernel's own variables."""

    def __init__(self, target: Target, space: AddressSpace, profile: ResolvedProfile) -> None:
        def value(role: str) -> int:
            name = profile.image.get(role)
            variable = target.symbol(name) if name else None
            try:
                return space.read_u64(variable) if variable is not None else 0
            except ReadFault:
                return 0

        def address(role: str) -> int:
            name = profile.image.get(role)
            return (target.symbol(name) if name else None) or 0

        window = address("window_table")
        self.window_table = linear_physical(window) if window else 0
        self.image_end: int = linear_physical(address("end") or IMAGE_START)
        self.placement_end = max(align_up(value("placement"), PAGE_BYTES), self.image_end)
        self.boot = tuple(_reserved(target, space, profile))

    def claims(self) -> Iterator[Claim]:
        """The fixed parts of memory; boot information inside the first MiB belongs to that."""
        start = linear_physical(IMAGE_START)
        parts: list[tuple[int, int, Owner, str]] = [
            (0, _LOW_BYTES, Owner.LOW, "firmware and boot loader"),
            (start, self.image_end, Owner.IMAGE, "kernel image"),
        ]
        at = self.image_end
        for low, high in self.boot:  # the placement allocator steps over them (§3.2)
            if high <= at or low >= self.placement_end:
                continue
            parts.append((at, max(at, low), Owner.PLACEMENT, "placement area"))
            at = high
        parts.append((at, max(at, self.placement_end), Owner.PLACEMENT, "placement area"))
        parts += [
            (max(low, start), high, Owner.BOOT, "boot loader") for low, high in self.boot if high > start
        ]
        for low, high, owner, who in parts:
            if low < high:
                yield Claim(PhysicalAddress(low), PhysicalAddress(high), owner, who)


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


def _kernel_pages(walked: Space, fixed: _Fixed) -> Iterator[Claim]:
    """What the kernel maps beyond its linear image and placement area (§2)."""
    linear_end = KERNEL_BASE + fixed.placement_end
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


def _user_pages(walked: Space) -> Iterator[Claim]:
    """The lower half; what a process has in the upper one is the kernel's, or a finding of its own."""
    for run in walked.runs:
        if run.virtual >> 63:
            continue
        end = PhysicalAddress(run.physical + run.size_bytes)
        yield Claim(run.physical, end, Owner.USER, walked.name, run.virtual, walked.root)
