"""A target that notes which physical pages are read of it, and which could not be."""

from collections.abc import Iterator

from coronel_gdb.errors import ReadFault
from coronel_gdb.lift.relayed import RelayedTarget
from coronel_gdb.protocols import PhysicalMemory, Target
from model.types import PAGE_BYTES, PhysicalAddress

_LARGEST_READ_PAGES = 1024


class RecordedMemory:
    """`PhysicalMemory` that notes pages; a read of many pages that fails has not read them."""

    def __init__(self, memory: PhysicalMemory) -> None:
        self._memory = memory
        self.describe = memory.describe
        self.pages: set[int] = set()
        self.faults: dict[int, str] = {}

    def read(self, address: PhysicalAddress, size_bytes: int) -> bytes:
        """As the memory behind it."""
        first, end = address // PAGE_BYTES, -(-(address + size_bytes) // PAGE_BYTES)
        try:
            data = self._memory.read(address, size_bytes)
        except ReadFault as fault:
            if end - first == 1:
                self.faults[first] = fault.reason
            raise
        self.pages.update(range(first, end))
        return data

    def contents(self) -> Iterator[tuple[int, bytes]]:
        """(first page, bytes) of all noted pages, ascending and whole; what cannot be read is noted."""
        for first, count in _runs(self.pages - self.faults.keys()):
            for at in range(first, first + count, _LARGEST_READ_PAGES):
                pages = min(_LARGEST_READ_PAGES, first + count - at)
                try:
                    yield at, self._memory.read(PhysicalAddress(at * PAGE_BYTES), pages * PAGE_BYTES)
                except ReadFault:
                    yield from self._page_by_page(at, pages)

    def _page_by_page(self, first: int, count: int) -> Iterator[tuple[int, bytes]]:
        for page in range(first, first + count):
            try:
                data = self._memory.read(PhysicalAddress(page * PAGE_BYTES), PAGE_BYTES)
            except ReadFault as fault:
                self.faults[page] = fault.reason
            else:
                yield page, data

    def missing(self) -> list[tuple[int, int, str]]:
        """(first page, pages, why) of what could not be read."""
        rows = []
        for why in sorted(set(self.faults.values())):
            rows += [
                (first, count, why)
                for first, count in _runs({page for page, reason in self.faults.items() if reason == why})
            ]
        return rows


def _runs(pages: set[int]) -> list[tuple[int, int]]:
    """(first page, pages) of neighbours."""
    runs: list[tuple[int, int]] = []
    for page in sorted(pages):
        if runs and sum(runs[-1]) == page:
            runs[-1] = runs[-1][0], runs[-1][1] + 1
        else:
            runs.append((page, 1))
    return runs


class RecordedTarget(RelayedTarget):
    """A `Target` with such a memory; everything else is that of the target behind it."""

    memory: RecordedMemory

    def __init__(self, target: Target, physical_bits: int | None) -> None:
        super().__init__(target, RecordedMemory(target.memory), physical_bits)
