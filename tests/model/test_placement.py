"""The placement allocator (docs/spec.md §3)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.address_space import KERNEL_BASE, PLAIN_IMAGE
from model.errors import ErrorKind
from model.events import Journal, Part
from model.memory import PhysicalMemory, PhysicalRange, VirtualMemory
from model.paging import PagingMode
from model.placement import PlacementAllocator, placement_limit
from model.types import PhysicalAddress, VirtualAddress

MIB = 1 << 20
END = 0x336000  # §2: `_end`, physical


def span(start: int, end: int) -> PhysicalRange:
    return PhysicalRange(PhysicalAddress(start), PhysicalAddress(end))


def allocator(*reserved: tuple[int, int], limit: int = 16 * MIB) -> PlacementAllocator:
    memory = VirtualMemory(PhysicalMemory([span(0, 16 * MIB)]), PagingMode())
    journal = Journal(Part.PLACEMENT, memory, PLAIN_IMAGE.placement_errors)
    holes = tuple(span(*hole) for hole in reserved)
    made = PlacementAllocator(memory, journal, PLAIN_IMAGE.placement, PhysicalAddress(limit), holes)
    made.begin()
    return made


def errors(placement: PlacementAllocator) -> list[int]:
    counters = PLAIN_IMAGE.placement_errors
    return [placement.memory.read_u64(VirtualAddress(counters + 8 * kind)) for kind in ErrorKind]


def test_it_starts_at_the_end_of_the_image_and_aligns_to_16() -> None:
    placement = allocator()
    assert placement.next_free == END
    assert placement.kalloc(1) == KERNEL_BASE + END
    assert placement.next_free == END + 1
    assert placement.kalloc(17) == KERNEL_BASE + END + 16
    assert placement.kalloc(8) == KERNEL_BASE + END + 48
    assert placement.kalloc(8, align=True) == KERNEL_BASE + END + 0x1000
    assert placement.next_free == END + 0x1008
    assert placement.end == END + 0x2000
    assert placement.available_bytes == 16 * MIB - END - 0x1008
    assert placement.memory.physical.read_u64(PhysicalAddress(0x119000)) == END + 0x1008  # `__placement`


def test_memory_is_zeroed_and_no_more_than_asked_for() -> None:
    placement = allocator()
    placement.memory.fill(VirtualAddress(KERNEL_BASE + END), 0x100, 0xEE)
    placement.kalloc(0x20)
    raw = placement.memory.read(VirtualAddress(KERNEL_BASE + END), 0x100)
    assert raw == bytes(0x20) + b"\xee" * 0xE0


@pytest.mark.parametrize(
    ("reserved", "size", "align", "expected"),
    [
        pytest.param([(END, END + 0x1000)], 16, False, END + 0x1000, id="it begins in the range"),
        pytest.param([(END + 0x1000, END + 0x2000)], 0x1000, False, END, id="it ends where the range begins"),
        pytest.param(
            [(END + 0x1000, END + 0x2000)], 0x1001, False, END + 0x2000, id="it would reach into it"
        ),
        pytest.param([(END + 0x1000, END + 0x2000)], 0x9000, False, END + 0x2000, id="it would swallow it"),
        pytest.param(
            [(END + 0x1000, END + 0x2000), (END + 0x3000, END + 0x4000)],
            0x1800,
            True,
            END + 0x4000,
            id="two ranges",
        ),
        pytest.param(
            [(END + 0x1000, END + 0x2000), (END + 0x3000, END + 0x4000)], 0x1000, True, END, id="before both"
        ),
        pytest.param([(END - 0x1000, END)], 16, False, END, id="a range that ends there"),
    ],
)
def test_reserved_ranges_are_stepped_over(
    reserved: list[tuple[int, int]], size: int, align: bool, expected: int
) -> None:
    placement = allocator(*reserved)
    assert placement.kalloc(size, align=align) == KERNEL_BASE + expected
    assert placement.next_free == expected + size


def test_it_never_goes_back_before_a_range() -> None:
    placement = allocator((END + 0x1000, END + 0x2000))
    placement.kalloc(0x2000)
    assert placement.kalloc(16) == KERNEL_BASE + END + 0x4000


def test_size_0_is_null_and_no_error() -> None:
    placement = allocator()
    assert placement.kalloc(0) == 0
    placement.seal()
    assert placement.kalloc(0) == 0
    assert errors(placement) == [0, 0, 0, 0, 0]
    assert placement.next_free == END


def test_the_limit_is_exact_and_nothing_changes_beyond_it() -> None:
    placement = allocator(limit=END + 0x1000)
    for size in (0x1001, (1 << 64) - 1, (1 << 64) - END, 1 << 63):
        assert placement.kalloc(size) == 0
        assert placement.next_free == END
    assert errors(placement) == [0, 0, 0, 0, 0]  # §3.3: no error is counted
    assert placement.kalloc(0x1000) == KERNEL_BASE + END
    assert placement.kalloc(1) == 0


def test_negative_sizes_are_huge_ones() -> None:
    placement = allocator()
    assert placement.kalloc(-1) == 0
    assert placement.next_free == END


def test_sealed_it_gives_nothing() -> None:
    placement = allocator()
    placement.kalloc(16)
    placement.seal()
    assert placement.kalloc(16) == 0
    assert placement.next_free == END + 16


def test_the_placement_area_ends_at_a_page() -> None:
    placement = allocator()
    placement.kalloc(1)
    inside = [KERNEL_BASE + END, KERNEL_BASE + END + 0xFFF]
    assert [placement.contains(address) for address in inside] == [True, True]
    assert not placement.contains(KERNEL_BASE + END - 1)
    assert not placement.contains(KERNEL_BASE + END + 0x1000)


@pytest.mark.parametrize(
    ("ram", "expected"),
    [
        ([(0, 0x9F000), (MIB, 32 * MIB)], 32 * MIB),
        ([(0, 64 * MIB)], 64 * MIB),
        ([(MIB, 3 << 30)], 0x3FE0_0000),
        ([(2 * MIB, 32 * MIB)], MIB),
        ([(0, MIB)], MIB),
        ([], MIB),
    ],
)
def test_the_limit_is_the_windows_or_the_region_of_1_mib(ram: list[tuple[int, int]], expected: int) -> None:
    assert placement_limit(tuple(span(*region) for region in ram)) == expected


requests = st.tuples(st.integers(0, 0x3000), st.booleans())


@given(st.lists(requests, max_size=30), st.sets(st.integers(END >> 12, (END >> 12) + 40), max_size=8))
def test_what_it_gives_never_overlaps(wanted: list[tuple[int, bool]], holes: set[int]) -> None:
    reserved = sorted((page << 12, (page + 1) << 12) for page in holes)
    placement = allocator(*reserved)
    taken = list(reserved)
    for size, align in wanted:
        address = placement.kalloc(size, align=align)
        if size == 0:
            assert address == 0
            continue
        physical = address - KERNEL_BASE
        assert physical % (4096 if align else 16) == 0
        assert all(physical + size <= start or end <= physical for start, end in taken)
        taken.append((physical, physical + size))
