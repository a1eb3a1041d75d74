"""The manager of virtual regions (docs/spec.md §6)."""

import pytest

from model.errors import ErrorKind
from model.memory import VirtualMemory
from model.regions import RegionAllocator
from model.types import VirtualAddress
from tests.model.region_view import (
    END,
    OBJECT,
    POOL,
    SPACE,
    errors,
    field,
    free_list,
    node,
    page,
    simple,
    spares,
)


@pytest.fixture
def regions(early: VirtualMemory) -> RegionAllocator:
    return simple(early)


# §6.2, §6.7


def test_a_page_of_nodes_gives_its_lowest_first(early: VirtualMemory) -> None:
    RegionAllocator.at(early, OBJECT).nodes.add_page(POOL)
    assert spares(early) == [POOL + 32 * n for n in range(128)]
    assert free_list(early) == []


def test_setup_makes_one_region_of_the_first_spare(early: VirtualMemory, regions: RegionAllocator) -> None:
    assert node(early, POOL) == (SPACE, 0x40000, 0, 0)
    assert field(early, 0) == field(early, 8) == POOL
    assert (field(early, 40), field(early, 48)) == (SPACE, END)
    assert spares(early) == [POOL + 32 * n for n in range(1, 128)]


@pytest.mark.parametrize(("start", "size"), [(1, 0x1000), (SPACE, 1), (SPACE, 1 << 63), (SPACE, -0x1000)])
def test_setup_refuses(early: VirtualMemory, start: int, size: int) -> None:
    made = RegionAllocator.at(early, OBJECT)
    made.nodes.add_page(POOL)
    assert not made.setup(start, size)
    assert errors(early) == [0, 0, 0, 0, 1]
    assert len(spares(early)) == 128


def test_setup_of_nothing_makes_no_region(early: VirtualMemory) -> None:
    made = RegionAllocator.at(early, OBJECT)
    assert made.setup(SPACE, 0)
    assert (field(early, 40), field(early, 48)) == (SPACE, SPACE)
    assert free_list(early) == []
    assert made.alloc(1) == 0


def test_setup_without_a_node(early: VirtualMemory) -> None:
    assert not RegionAllocator.at(early, OBJECT).setup(SPACE, 0x1000)
    assert errors(early) == [1, 0, 0, 0, 0]
    assert field(early, 40) == 0


# §6.4


def test_alloc_cuts_the_first_region_at_its_front(early: VirtualMemory, regions: RegionAllocator) -> None:
    assert regions.alloc(1) == page(0)
    assert regions.alloc(0x1001) == page(1)
    assert free_list(early) == [(page(3), 61 * 0x1000)]
    assert field(early, 0) == POOL  # the node stays


def test_alloc_is_first_fit_not_best_fit(early: VirtualMemory, regions: RegionAllocator) -> None:
    regions.alloc(0x40000)
    for first, count in ((2, 1), (10, 5), (20, 2)):
        regions.free(page(first), count * 0x1000)
    assert regions.alloc(0x2000) == page(10)
    assert regions.alloc(0x1000) == page(2)
    assert free_list(early) == [(page(12), 0x3000), (page(20), 0x2000)]


def test_a_region_used_up_gives_its_node_back(early: VirtualMemory, regions: RegionAllocator) -> None:
    assert regions.alloc(0x40000) == page(0)
    assert free_list(early) == []
    assert spares(early) == [POOL, *(POOL + 32 * n for n in range(1, 128))]


def test_alloc_of_nothing(early: VirtualMemory, regions: RegionAllocator) -> None:
    assert regions.alloc(0) == 0
    assert errors(early) == [0, 0, 0, 0, 0]


@pytest.mark.parametrize("size", [0x40001, 1 << 63, (1 << 64) - 1, (1 << 64) - 4096, -1])
def test_alloc_of_too_much(early: VirtualMemory, regions: RegionAllocator, size: int) -> None:
    assert regions.alloc(size) == 0
    assert errors(early) == [0, 1, 0, 0, 0]
    assert free_list(early) == [(SPACE, 0x40000)]


# §6.5


@pytest.mark.parametrize(
    ("first", "count", "expected", "nodes"),
    [
        pytest.param(0, 64, [], 128, id="all of it"),
        pytest.param(0, 2, [(2, 62)], 127, id="its front"),
        pytest.param(62, 2, [(0, 62)], 127, id="its end"),
        pytest.param(10, 2, [(0, 10), (12, 52)], 126, id="its middle"),
    ],
)
def test_alloc_at_cuts(
    early: VirtualMemory,
    regions: RegionAllocator,
    first: int,
    count: int,
    expected: list[tuple[int, int]],
    nodes: int,
) -> None:
    assert regions.alloc_at(page(first), count * 0x1000 - 7) == page(first)
    assert free_list(early) == [(page(start), size * 0x1000) for start, size in expected]
    assert len(spares(early)) == nodes


def test_in_the_middle_the_node_keeps_the_lower_part(early: VirtualMemory, regions: RegionAllocator) -> None:
    regions.alloc_at(page(10), 0x1000)
    assert node(early, POOL) == (SPACE, 0xA000, POOL + 32, 0)
    assert node(early, POOL + 32) == (page(11), 53 * 0x1000, 0, POOL)


@pytest.mark.parametrize(
    ("address", "size", "kind"),
    [
        (page(1) + 1, 0x1000, ErrorKind.INVALID_POINTER),
        (page(1), 0, ErrorKind.INVALID_POINTER),
        (page(60), 0x5000, ErrorKind.VIRTUAL_SPACE_EXHAUSTED),
        (page(-1), 0x2000, ErrorKind.VIRTUAL_SPACE_EXHAUSTED),
        (page(4), 0x2000, ErrorKind.VIRTUAL_SPACE_EXHAUSTED),  # page 5 is taken
        (0, 0x1000, ErrorKind.VIRTUAL_SPACE_EXHAUSTED),
        (page(1), (1 << 64) - 1, ErrorKind.VIRTUAL_SPACE_EXHAUSTED),
        (-4096, 0x2000, ErrorKind.VIRTUAL_SPACE_EXHAUSTED),
    ],
)
def test_alloc_at_refuses(
    early: VirtualMemory, regions: RegionAllocator, address: int, size: int, kind: ErrorKind
) -> None:
    regions.alloc_at(page(5), 0x1000)
    before = early.read(OBJECT, 56) + early.read(POOL, 4096)
    assert regions.alloc_at(address, size) == 0
    assert errors(early) == [int(kind == other) for other in ErrorKind]
    assert early.read(OBJECT, 56) + early.read(POOL, 4096) == before


# §6.6


@pytest.mark.parametrize(
    ("taken", "freed", "expected", "nodes"),
    [
        pytest.param((10, 4), (11, 2), [(0, 10), (11, 2), (14, 50)], 125, id="joins nothing"),
        pytest.param((10, 4), (10, 2), [(0, 12), (14, 50)], 126, id="joins the one below"),
        pytest.param((10, 4), (12, 2), [(0, 10), (12, 52)], 126, id="joins the one above"),
        pytest.param((10, 4), (10, 4), [(0, 64)], 127, id="joins both"),
        pytest.param((0, 64), (7, 1), [(7, 1)], 127, id="the list was empty"),
        pytest.param((0, 10), (2, 1), [(2, 1), (10, 54)], 126, id="in front of the list"),
        pytest.param((60, 4), (63, 1), [(0, 60), (63, 1)], 126, id="at the list's end"),
    ],
)
def test_free_joins(
    early: VirtualMemory,
    regions: RegionAllocator,
    taken: tuple[int, int],
    freed: tuple[int, int],
    expected: list[tuple[int, int]],
    nodes: int,
) -> None:
    regions.alloc_at(page(taken[0]), taken[1] * 0x1000)
    assert regions.free(page(freed[0]), freed[1] * 0x1000 - 1)
    assert free_list(early) == [(page(start), size * 0x1000) for start, size in expected]
    assert len(spares(early)) == nodes


def test_joining_both_the_lower_node_survives(early: VirtualMemory, regions: RegionAllocator) -> None:
    regions.alloc_at(page(10), 0x1000)  # the node at POOL below, POOL + 32 above
    regions.free(page(10), 0x1000)
    assert node(early, POOL) == (SPACE, 0x40000, 0, 0)
    assert spares(early)[0] == POOL + 32


@pytest.mark.parametrize(
    ("address", "size", "kind"),
    [
        (page(10), 0, ErrorKind.INVALID_POINTER),
        (page(10) + 8, 0x1000, ErrorKind.INVALID_POINTER),
        (page(-1), 0x1000, ErrorKind.INVALID_POINTER),
        (page(63), 0x2000, ErrorKind.INVALID_POINTER),
        (page(10), (1 << 64) - 1, ErrorKind.INVALID_POINTER),
        (0, 0x1000, ErrorKind.INVALID_POINTER),
        (-0x1000, 0x1000, ErrorKind.INVALID_POINTER),
        (page(9), 0x1000, ErrorKind.DOUBLE_FREE),
        (page(9), 0x2000, ErrorKind.DOUBLE_FREE),
        (page(13), 0x2000, ErrorKind.DOUBLE_FREE),
        (page(5), 0x20000, ErrorKind.DOUBLE_FREE),
        (SPACE, 0x40000, ErrorKind.DOUBLE_FREE),
    ],
)
def test_free_refuses(
    early: VirtualMemory, regions: RegionAllocator, address: int, size: int, kind: ErrorKind
) -> None:
    regions.alloc_at(page(10), 0x4000)
    before = early.read(OBJECT, 56) + early.read(POOL, 4096)
    assert not regions.free(address, size)
    assert errors(early) == [int(kind == other) for other in ErrorKind]
    assert early.read(OBJECT, 56) + early.read(POOL, 4096) == before


def test_without_a_spare_node_nothing_changes(early: VirtualMemory, regions: RegionAllocator) -> None:
    while regions.nodes.take_spare():
        pass
    assert regions.alloc_at(page(10), 0x1000) == 0
    assert errors(early) == [1, 0, 0, 0, 0]
    assert free_list(early) == [(SPACE, 0x40000)]
    assert regions.alloc(0x4000) == page(0)
    assert not regions.free(page(1), 0x1000)
    assert errors(early) == [2, 0, 0, 0, 0]
    assert free_list(early) == [(page(4), 60 * 0x1000)]
    assert regions.free(page(3), 0x1000)  # joining needs none


def test_a_cyclic_list_ends(early: VirtualMemory, regions: RegionAllocator) -> None:
    regions.alloc_at(page(10), 0x1000)
    early.write_u64(VirtualAddress(POOL + 32 + 16), POOL)  # the last one's next is the first
    assert regions.alloc(0x100000) == 0
    assert errors(early) == [0, 0, 1, 0, 0]
