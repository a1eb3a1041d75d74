"""Who writes a sequence: what it has got so far, and arguments that are mostly right."""

from dataclasses import dataclass, field
from typing import Final

from lab.orders import Code, Order, Result
from model.layouts import HEAP_BLOCK
from model.machine import Machine
from model.types import PAGE_BYTES, U64_MASK

HEADER_BYTES: Final = HEAP_BLOCK.size_bytes
FIELDS: Final = (0, 8, 16, 24, 32, 40)
STRANGE: Final = (0, 1, 8, 16, 4096, 1 << 47, 1 << 63, U64_MASK - 4095, U64_MASK - 15, U64_MASK)
SIZES: Final = (
    0, 1, 15, 16, 17, 48, 64, 65536 - 48, 65536 - 47, 65536, 4096 - 48, 1 << 40, (1 << 40) + 1,
    (1 << 40) - 15, 1 << 63, U64_MASK - 4095, U64_MASK - 63, U64_MASK - 15, U64_MASK - 14, U64_MASK,
)  # fmt: skip


@dataclass(slots=True)
class Region:
    """Addresses that a sequence has got from the virtual manager."""

    at: int
    pages: int


@dataclass(slots=True)
class Writer:
    """Writes one sequence; what it remembers is which orders gave what, not what they really gave."""

    machine: Machine
    orders: list[Order] = field(default_factory=list)
    live: list[int] = field(default_factory=list)
    """Orders whose result is a block of the kernel heap that nobody has freed."""
    freed: list[int] = field(default_factory=list)
    frames: list[int] = field(default_factory=list)
    gone: list[int] = field(default_factory=list)
    """Frames that were given back, and that nobody can have got since: freeing them is a double free.

    Later it would free what is somebody's, a page table perhaps, and nothing has to survive that.
    """
    regions: list[Region] = field(default_factory=list)
    directories: list[int] = field(default_factory=list)
    mapped: list[tuple[int | Result, int | Result]] = field(default_factory=list)
    processes: list[int] = field(default_factory=list)
    """Orders that have made a process; the last is the most wanted one."""
    blocks: list[tuple[int, int]] = field(default_factory=list)
    """Process and order of a block of its heap."""
    mappings: list[tuple[int, int, int]] = field(default_factory=list)
    """Process, order and length of what mmap gave."""
    is_torn: bool = False
    """Whether addresses were given back that are somebody else's."""

    def add(self, code: Code, *arguments: int | Result) -> int:
        """Write an order; its number."""
        if code is not Code.PHYSICAL_FREE:
            self.gone.clear()
        self.orders.append(Order(code, arguments))
        return len(self.orders) - 1

    # What arguments are made of.

    def process(self, x: int) -> int | Result:
        """A live process mostly; what is none, when there is none."""
        if self.processes and x % 64:
            return Result(self.processes[x // 64 % len(self.processes)])
        return (0, 0x8000000, U64_MASK)[x % 3]

    def size(self, x: int, y: int) -> int:
        """Mostly small; sometimes large, at a border, or absurd."""
        choice = x % 32
        if choice == 0:
            return y * 64 if x % 256 == 0 else SIZES[y % len(SIZES)]
        if choice == 1:
            return y if x % 64 == 1 else y % 8192
        return 1 + y % (2000 if choice < 8 else 300)

    def pointer(self, x: int, y: int) -> int | Result:
        """A live block mostly; else a freed one, a place inside one, or nothing of the heap's."""
        choice = x % 32
        pool = self.freed if choice == 0 else self.live
        if choice != 2 and pool:
            return Result(pool[y % len(pool)], (0, 8, 16, 48, -48, 64)[x // 32 % 6] if choice == 1 else 0)
        if choice > 2 or self.live:
            strange = (*STRANGE, *self.landmarks())
            return strange[y % len(strange)]
        return 0

    def landmarks(self) -> tuple[int, ...]:
        """Addresses that are something else: managers, the first region, the borders of its space."""
        first = self.machine.regions.fields.get("start_")
        return (
            self.machine.heap.fields.address,
            first,
            first + HEADER_BYTES,
            first + 65536,
            first + 65536 + HEADER_BYTES,
            first + 131072 - HEADER_BYTES,
            self.machine.regions.fields.get("end_"),
            self.machine.regions.fields.get("end_") - 16,
            self.machine.frames.fields.get("nodes_"),
            self.machine.symbols["_text_start"],
        )

    def header(self, y: int) -> int | Result:
        """The header of some block, live or freed; of none, the place where the first one will be."""
        pool = self.live + self.freed
        first = self.machine.regions.fields.get("start_")
        return Result(pool[y % len(pool)], -HEADER_BYTES) if pool else first

    def directory(self, x: int, y: int) -> int | Result:
        """The kernel's mostly, or one that the sequence has made; seldom none at all."""
        choice = x % 16
        if choice == 0:
            return (0, 1, 4096 + 8, 1 << 46, 1 << 52, U64_MASK - 4095)[y % 6]
        if choice < 6 and self.directories:
            return Result(self.directories[y % len(self.directories)])
        return self.machine.cr3

    def page(self, x: int, y: int) -> int | Result:
        """A page of a region the sequence has got; seldom anything else."""
        choice = x % 16
        if choice > 2 and self.regions:
            region = self.regions[y % len(self.regions)]
            return Result(region.at, x // 16 % region.pages * PAGE_BYTES)
        first = self.machine.regions.fields.get("start_")
        strange = (
            0, 4096, 8, 0x400000, 0x7FFF_FFFF_F000, 0x8000_0000_0000, 0xFFFF_7FFF_FFFF_F000,
            0xFFFF_8000_0000_0000, first, first + 8, first + (1 << 21), 0xFFFF_FFFF_C000_0000,
            0xFFFF_FFFF_8010_0000, 0xFFFF_FFFF_BFDF_F000, U64_MASK - 4095,
        )  # fmt: skip
        return strange[y % len(strange)]

    def frame(self, x: int, y: int) -> int | Result:
        """A frame the sequence has got; seldom one given back, or none at all."""
        choice = x % 16
        if choice == 0 and self.gone:
            return Result(self.gone[y % len(self.gone)])
        if choice > 1 and self.frames:
            return Result(self.frames[y % len(self.frames)], 8 if choice == 2 else 0)
        strange = (0, 8, 0x1000, 0x9F000, 0x100000, 0xFEE00000, 1 << 40, (1 << 52) - 4096, 1 << 52,
                   1 << 63, U64_MASK - 4095, U64_MASK)  # fmt: skip
        return strange[y % len(strange)]
